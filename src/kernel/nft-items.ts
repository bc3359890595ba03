// Room kernel: nftables objects as plain values, as the wire knows them.
export type {
  NftChain,
  NftCount,
  NftDatatype,
  NftElement,
  NftHook,
  NftItem,
  NftSet,
  NftTable,
  NftValue,
} from '../wire/nft/items.ts';
export type { NftFamily, NftRule, NftSelector, NftStatement, NftVerdict } from '../wire/nft/rule.ts';
