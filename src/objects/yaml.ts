// Room objects: YAML, loaded when the first manifest, body or kubeconfig comes in it: `await import('…/objects/yaml.ts')`.
// A bundle keeps the names of this module, where it would hide those of the package behind its default export.
export { parse } from 'yaml';
