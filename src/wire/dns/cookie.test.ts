// Room wire: server cookies are those that RFC 9018 computes in its appendix A.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answerCookie, isCookie } from './cookie.ts';
import { sipHash } from './siphash.ts';

const hex = (text: string) => new Uint8Array(Buffer.from(text, 'hex'));

test('SipHash-2-4 of the fifteen bytes of its own paper', () => {
  const count = (n: number) => Uint8Array.from({ length: n }, (_, i) => i);
  // The paper writes the number a129ca6149be45e5.
  assert.equal(Buffer.from(sipHash(count(16), count(15))).toString('hex'), 'e545be4961ca29a1');
});

const SECRET = 'e5e973e5a6b2a43f48e7dc849e37bfcf';
const cases: [asked: string, client: string, secret: string, seconds: number, answer: string][] = [
  ['2464c4abcf10c957', '198.51.100.100', SECRET, 1559731985, '2464c4abcf10c957010000005cf79f111f8130c3eee29480'],
  [
    '2464c4abcf10c957010000005cf79f111f8130c3eee29480',
    '198.51.100.100',
    SECRET,
    1559734385,
    '2464c4abcf10c957010000005cf7a871d4a564a1442aca77',
  ],
  [
    '22681ab97d52c298',
    '2001:db8:220:1:59de:d0f4:8769:82b8',
    'dd3bdf9344b678b185a6f5cb60fca715',
    1559741817,
    '22681ab97d52c298010000005cf7c57926556bd0934c72f8',
  ],
];
for (const [asked, client, secret, seconds, answer] of cases) {
  test(`the cookie of ${client} at ${seconds}`, () => {
    const cookie = answerCookie(hex(asked), client, hex(secret), seconds);
    assert.equal(Buffer.from(cookie).toString('hex'), answer);
  });
}

test('a cookie has 8 bytes, or 16 to 40', () => {
  const right = Array.from({ length: 50 }, (_, length) => length).filter((length) => isCookie(new Uint8Array(length)));
  assert.deepEqual(right, [8, ...Array.from({ length: 25 }, (_, i) => i + 16)]);
});
