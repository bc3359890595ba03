// Guards the version of Node before any TypeScript is loaded.
const major = Number(process.versions.node.split('.')[0]);
if (major < 24) {
  console.error(
    `podwire: this is Node ${process.versions.node}; podwire needs 24 or later. Run 'npm install' in its folder: that brings one.`,
  );
  process.exit(1);
}
const { main } = await import('../src/cli/main.ts');
await main(process.argv.slice(2));
