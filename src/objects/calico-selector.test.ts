// Calico's expressions: what they select, how they are printed, and what is wrong with those that cannot be read.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { calicoSelector } from './calico-selector.ts';

const WEB = { app: 'web', tier: 'front', 'example.com/owner': 'a b' };

describe('what is selected', () => {
  const cases: [text: string, selected: boolean][] = [
    ['', true],
    ['all()', true],
    ['global()', false],
    ['app == "web"', true],
    ["app=='web'&&tier=='back'", false],
    ['app != "db"', true],
    ['missing != "x"', true],
    ['missing == "x"', false],
    ['app in {"db", "web"}', true],
    ['app in {}', false],
    ['app not in {"db",}', true],
    ['missing not in {"x"}', true],
    ['has(app)', true],
    ['!has(missing)', true],
    ['!!has(app)', true],
    ['example.com/owner contains " "', true],
    ['app starts with "w"', true],
    ['app ends with "x"', false],
    ['missing contains ""', false],
    ['has(missing) || has(app) && tier == "front"', true],
    ['(has(missing) || has(app)) && tier == "back"', false],
    ['! (app == "web" || has(missing))', false],
    // Words of the language are labels where labels stand.
    ['has(in) || in == "x"', false],
  ];
  for (const [text, selected] of cases) {
    test(`${text || 'nothing'}: ${selected}`, () => assert.equal(calicoSelector(text).matches(WEB), selected));
  }
});

test('what is written alike is printed alike', () => {
  const texts = ["app=='web' && tier in {'b','a','b'}", 'app == "web"&&tier in { "a", "b" }'];
  const printed = texts.map((text) => calicoSelector(text).text);
  assert.deepEqual(printed, Array(2).fill('(app == "web") && (tier in {"a", "b"})'));
  assert.equal(calicoSelector(printed[0]!).text, printed[0]);
  assert.equal(calicoSelector(' all() ').text, '');
});

test('labels of which a selected pod has one', () => {
  const of = (text: string) => calicoSelector(text).oneOf;
  assert.deepEqual(of('has(x) && app in {"a", "b"}'), [
    ['app', 'a'],
    ['app', 'b'],
  ]);
  assert.deepEqual(of('app == "a"'), [['app', 'a']]);
  for (const text of ['app == "a" || has(x)', '!(app == "a")', 'app != "a"', 'all()'])
    assert.equal(of(text), undefined);
});

describe('what cannot be read', () => {
  const cases: [text: string, problem: string][] = [
    ['app = "web"', 'unexpected "= "web"" in selector "app = "web""'],
    ['app == web', 'expected a value in quotes, found "web" in selector "app == web"'],
    ['app', 'expected ==, !=, in, not in, contains, starts with or ends with, found its end in selector "app"'],
    ['app in {"a"', 'expected "}", found its end in selector "app in {"a""'],
    ['app starts "a"', 'expected "with", found "a" in selector "app starts "a""'],
    ['has(app) has(tier)', 'expected &&, || or the end, found "has" in selector "has(app) has(tier)"'],
    ['(has(app)', 'expected ")", found its end in selector "(has(app)"'],
    ['app == "web', 'unexpected ""web" in selector "app == "web"'],
    ['&& has(app)', 'expected a label, found "&&" in selector "&& has(app)"'],
  ];
  for (const [text, problem] of cases) {
    test(text, () => assert.throws(() => calicoSelector(text), { message: problem }));
  }
});
