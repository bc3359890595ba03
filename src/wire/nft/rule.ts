// Room wire: an nftables rule as plain data, rendered both as nft text and as netlink expressions.
// The owner of this file fills in the statements; this is the frame.

/** One rule. `comment` names the object that caused it and is stored in the rule's userdata. */
export interface NftRule {
  readonly statements: readonly NftStatement[];
  readonly comment?: string;
}

export type NftStatement = { readonly kind: string };
