// Room api: the five letters with which Kubernetes ends the names that it makes.
import { randomInt } from 'node:crypto';

/** No vowels, so no words; no 0, 1, 3, which look like letters. */
const LETTERS = 'bcdfghjklmnpqrstvwxz2456789';

export function nameSuffix(): string {
  return Array.from({ length: 5 }, () => LETTERS[randomInt(LETTERS.length)]).join('');
}
