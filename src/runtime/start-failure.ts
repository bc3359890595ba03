// Room runtime: why a process could not be started, in the words that users know from `kubectl describe`.

export class StartFailure extends Error {
  override name = 'StartFailure';

  constructor(said: string) {
    super(reword(said.trim()));
  }
}

/** As runc words it, which is what containerd hands on; crun's own words where there is no counterpart. */
function reword(said: string): string {
  // runc's own, quoted once more in its log.
  const runc = /exec: \\?"[\s\S]*$/.exec(said);
  if (runc) return runc[0].replaceAll('\\"', '"').replace(/"$/, '');
  const missing = /executable file `([^`]*)` not found( in \$PATH)?/.exec(said);
  if (missing) {
    const why = missing[1]!.includes('/')
      ? `stat ${missing[1]}: no such file or directory`
      : 'executable file not found in $PATH';
    return `exec: "${missing[1]}": ${why}`;
  }
  const denied = /open executable: Permission denied|exec.*permission denied/i.exec(said);
  if (denied) return `${said}: permission denied`;
  return said.replace(/^time="[^"]*" level=\w+ msg="(.*)"$/, '$1') || 'the OCI runtime failed without a word';
}
