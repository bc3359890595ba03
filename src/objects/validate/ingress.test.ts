// Room objects: Ingresses that may be stored and that may not, and the words of refusals.
import { validationCases } from './cases.fixture.ts';

const ingress = (path: object) => ({ spec: { rules: [{ http: { paths: [path] } }] } });
const backend = { service: { name: 'web', port: { number: 80 } } };

validationCases({
  good: [['an Ingress', 'Ingress', ingress({ path: '/', pathType: 'Prefix', backend })]],
  refused: [
    [
      'an Ingress of nothing',
      'Ingress',
      { spec: {} },
      ['spec: Invalid value: []: either `defaultBackend` or `rules` must be specified'],
    ],
    [
      'a path without its type',
      'Ingress',
      ingress({ path: '/', backend }),
      ['spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified'],
    ],
    [
      'a path that is not absolute',
      'Ingress',
      ingress({ path: 'x', pathType: 'Exact', backend }),
      ['spec.rules[0].http.paths[0].path: Invalid value: "x": must be an absolute path'],
    ],
  ],
});
