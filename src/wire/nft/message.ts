// Room wire: message and attribute numbers of nf_tables (linux/netfilter/nf_tables.h).

export const SUBSYSTEM = 10;
export const BATCH_BEGIN = 0x10;
export const BATCH_END = 0x11;

/** nlmsg_type of an nf_tables message. */
export function message(type: number): number {
  return (SUBSYSTEM << 8) | type;
}

export const TABLE = { NEW: 0, GET: 1, DELETE: 2, DESTROY: 26, NAME: 1, FLAGS: 2 } as const;
export const CHAIN = {
  NEW: 3,
  GET: 4,
  DELETE: 5,
  DESTROY: 27,
  TABLE: 1,
  NAME: 3,
  HOOK: 4,
  POLICY: 5,
  TYPE: 7,
} as const;
export const HOOK = { NUMBER: 1, PRIORITY: 2 } as const;
export const HOOK_NUMBER = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;
export const POLICY_DROP = 0;
export const RULE = { NEW: 6, GET: 7, DELETE: 8, TABLE: 1, CHAIN: 2, EXPRESSIONS: 4, USERDATA: 7 } as const;
export const SET = {
  NEW: 9,
  GET: 10,
  DELETE: 11,
  DESTROY: 29,
  TABLE: 1,
  NAME: 2,
  FLAGS: 3,
  KEY_TYPE: 4,
  KEY_LEN: 5,
  DATA_TYPE: 6,
  DATA_LEN: 7,
  DESCRIPTION: 9,
  ID: 10,
  USERDATA: 13,
  EXPRESSION: 17,
} as const;
export const SET_FLAG = {
  anonymous: 1,
  interval: 4,
  map: 8,
  timeout: 16,
  dynamic: 32,
  concatenation: 128,
  expression: 256,
} as const;
/** Attributes of a set's description: how many elements packets may add, and its parts' lengths in bytes. */
export const DESCRIPTION = { SIZE: 1, CONCATENATION: 2, FIELD: 1, FIELD_LENGTH: 1 } as const;
export const ELEMENT_LIST = { NEW: 12, GET: 13, DELETE: 14, DESTROY: 30, TABLE: 1, SET: 2, ELEMENTS: 3 } as const;
export const ELEMENT = { LIST_ELEM: 1, KEY: 1, DATA: 2, FLAGS: 3, USERDATA: 6, EXPRESSION: 7, KEY_END: 10 } as const;

/** The ruleset's version: counted up by every commit in the namespace. */
export const GENERATION = { GET: 16, ID: 1 } as const;

/** Flag of the element at which an interval no longer holds. */
export const INTERVAL_END = 1;

/** Key type of verdicts, NFT_DATA_VERDICT. */
export const VERDICT_TYPE = 0xffffff00;

/** libnftnl's type of user data for the comment of a rule or an element. */
export const USERDATA = { COMMENT: 0 } as const;
