// Room node: $(VAR) in a container's command, args, env values and subPathExpr, with $$ for a plain dollar sign.

/** What is not a known variable stays as it is written. */
export function expand(text: string, variables: ReadonlyMap<string, string>): string {
  return text.replace(/\$(\$|\(([^)]*)\))/g, (match, token: string, name: string | undefined) => {
    if (token === '$') return '$';
    return variables.get(name!) ?? match;
  });
}
