// Room cli: the command line. One file per command, loaded when it is asked for.
import { Command, CommanderError, Option } from 'commander';
import { DEFAULT_CLUSTER, requireClusterName } from '../cluster/known.ts';
import { Fault } from '../observe/fault.ts';
import { podwireVersion } from '../observe/install.ts';

const CNI_DATA_DIR = ['--data-dir <dir>', 'state of the stand-alone CNI plugin (its dataDir)'] as const;

/** All that can be typed. */
export function program(): Command {
  const podwire = new Command('podwire')
    .description(
      'The whole Kubernetes network in one program: real nodes, pods, Services and DNS on a bare Linux machine.',
    )
    .enablePositionalOptions()
    .version(podwireVersion(), '-V, --version', 'print the version of podwire')
    .exitOverride();
  const plain: AddCommand = (parent, usage, what, example) =>
    parent.command(usage).description(what).addHelpText('after', `\nExample:\n  ${example}`);
  const command: AddCommand = (parent, usage, what, example) =>
    plain(parent, usage, what, example).addOption(
      new Option('--name <name>', 'the cluster')
        .default(DEFAULT_CLUSTER)
        .env('PODWIRE_CLUSTER')
        .argParser(requireClusterName),
    );

  command(podwire, 'up', 'start a cluster', 'podwire up --nodes 3 --demo')
    .option('--nodes <count>', 'how many nodes (default 3)')
    .option('--config <file>', "a config file in YAML (see 'docs/config.md')")
    .option('--overlay <name>', 'how pods of different nodes meet: vxlan (default), host-gw, ipip, udp or none')
    .option('--direct-routing', 'plain routes within a rack, the overlay only between racks')
    .option(
      '--non-masquerade-cidrs <list>',
      "destinations outside that see a pod's own address, with commas between them",
    )
    .option('--racks <count>', 'L2 segments over which the nodes are spread, at most as many as nodes (default 1)')
    .addOption(
      new Option(
        '--datapath <name>',
        'how packets of pods pass a node (default auto: ebpf where the kernel can, else nftables; docs/datapath.md)',
      ).choices(['auto', 'nftables', 'ebpf']),
    )
    .option('--nodeport-addresses <cidrs>', 'NodePorts are open at addresses of the nodes in these (default: primary)')
    .addOption(
      new Option('--proxy-mode <name>', 'where Services are translated (default nftables; docs/datapath.md)').choices([
        'nftables',
        'ebpf',
      ]),
    )
    .option('--api-port <port>', 'port of the API server on 127.0.0.1 (default 6443, or the next that is free)')
    .option('--demo', 'with the demo application')
    .option('--foreground', 'stay in the foreground; Ctrl-C takes the cluster down')
    .action(async (options, command: Command) => {
      const nameIsDefault = command.getOptionValueSource('name') === 'default';
      return (await import('./up.ts')).runUp(options, nameIsDefault);
    });
  command(podwire, 'down', 'take a cluster down; nothing stays behind', 'podwire down --all')
    .option('--all', 'every cluster of this machine')
    .action(async (options) => (await import('./down.ts')).runDown(options));
  command(podwire, 'status', 'nodes, pods, addresses, health and versions', 'podwire status -o json')
    .addOption(tableOrJson())
    .option('--next-steps', 'end with what to try next')
    .action(async (options) => (await import('./status.ts')).runStatus(options));
  command(podwire, 'kubeconfig', 'print the path of a kubeconfig', 'export KUBECONFIG=$(podwire kubeconfig)').action(
    async (options) => (await import('./kubeconfig.ts')).runKubeconfig(options),
  );
  command(
    podwire,
    'check',
    'look over the machine and the paths of a running cluster, and say how to mend them',
    'podwire check',
  )
    .addOption(tableOrJson())
    .action(async (options, command: Command) => {
      const isNamed = command.getOptionValueSource('name') === 'cli';
      return (await import('./check.ts')).runCheck(options, isNamed);
    });

  const lb = command(podwire, 'lb', 'which node answers for which load balancer address', 'podwire lb')
    .addOption(tableOrJson())
    .enablePositionalOptions()
    .action(async (options) => (await import('./lb.ts')).runLbList(options));
  command(lb, 'rehearse', 'move an address on purpose and measure the blackout', 'podwire lb rehearse svc/web -n shop')
    .argument('<service>', 'svc/NAME or svc/NAMESPACE/NAME')
    .option('-n, --namespace <namespace>', 'of the Service', 'default')
    .option('--to <node>', 'to which node (default: the next best)')
    .option('--address <ip>', 'which of its addresses (default: the first)')
    .option('--stay', 'do not move it back')
    .addOption(tableOrJson())
    .action(async (service, options) => (await import('./lb.ts')).runLbRehearse(service, options));

  command(
    podwire,
    'flows',
    'packets that policies refused, would refuse or tell of, and the rules that say so',
    'podwire flows -f --pod shop/web',
  )
    .option('-f, --follow', 'go on as they come')
    .option('--pod <pod>', 'only of this pod or to it: NAME or NAMESPACE/NAME')
    .addOption(new Option('--verdict <verdict>', 'only of this verdict').choices(['drop', 'allow', 'would-deny']))
    .addOption(textOrJson('how to print them; json: one object a line'))
    .action(async (options) => (await import('./flows.ts')).runFlows(options));

  command(
    podwire,
    'trace',
    'where a packet goes: every decision, who made it, and what to change where it dies',
    'podwire trace shop/web svc/db:5432',
  )
    .argument('<from>', 'a pod (NAMESPACE/NAME), deploy/NAME, svc/NAME, node/NAME or an address')
    .argument('<to>', 'the same or a DNS name, then :PORT[/udp]; a port may be named')
    .option('-n, --namespace <namespace>', 'of what is named without one (default: default; of TO that of FROM)')
    .addOption(textOrJson())
    .option('-f, --filename <path>', 'manifests of a file or a folder in place of a cluster')
    .option('--live', 'send the packet, follow it through the kernel, and hold what is seen against what is said')
    .action(async (from, to, options) => (await import('./trace.ts')).runTrace(from, to, options));

  const policy = podwire.command('policy').description('what NetworkPolicies allow, on a cluster or in manifests');
  const policies = () => import('./policy.ts');
  const manifests = ['-f, --filename <path>', 'manifests of a file or a folder in place of a cluster'] as const;
  const namespaced = ['-n, --namespace <namespace>', 'of pods that are named without one', 'default'] as const;
  command(
    policy,
    'explain',
    'may a pod speak to another, and who says so',
    'podwire policy explain shop/web shop/db 5432',
  )
    .argument('<from>', 'a pod or a workload, NAMESPACE/NAME, a node, node/NAME, or an address')
    .argument('<to>', 'the same, or a Service: svc/NAMESPACE/NAME')
    .argument('<port>', '80, 53/UDP, or a name')
    .option(...manifests)
    .option(...namespaced)
    .addOption(textOrJson())
    .action(async (from, to, port, options) =>
      (await import('./policy-explain.ts')).runPolicyExplain(from, to, port, options),
    );
  command(
    policy,
    'matrix',
    'who may speak to whom on what',
    'podwire policy matrix -f manifests/ -o html > matrix.html',
  )
    .option(...manifests)
    .option('--port <ports>', 'only these: 80,53/UDP')
    .option('--live', 'send a packet for each pair of pods and port, and say where it does not do as the policies say')
    .addOption(
      new Option('-o, --output <format>', 'how to print it').choices(['table', 'json', 'dot', 'html']).default('table'),
    )
    .action(async (options) => (await policies()).runPolicyMatrix(options));
  command(
    policy,
    'test',
    'hold what is expected against real packets of the cluster, and against its policies',
    'podwire policy test expectations.yaml -o junit > report.xml',
  )
    .argument('<files...>', 'YAML: expectations: [{from, to, port, expect: allow | deny}]; or test files of netassert')
    .option('-f, --filename <path>', "manifests of a file or a folder in place of a cluster: the engine's word")
    .option(...namespaced)
    .option('--static', "the engine's word: no packet is sent")
    .option('--silence <seconds>', 'how long nothing must come back to count as denied', '1')
    .option('--no-listen', 'nobody answers where a pod has nobody on the port')
    .addOption(new Option('-o, --output <format>', 'how to print it').choices(['tap', 'junit', 'json']).default('tap'))
    .action(async (files, options) => (await import('./policy-test.ts')).runPolicyTest(files, options));
  command(
    policy,
    'recommend',
    'policies that allow the connections that were seen, and nothing else',
    'podwire policy recommend --for 60s -n shop > policies.yaml',
  )
    .option('--for <time>', 'how long the nodes’ connections are looked at: 30s, 5m', '30s')
    .option('--from-file <file>', 'flows in place of the nodes’: lines of JSON, or what conntrack -L prints')
    .option('--record <file>', 'write the flows there, for --from-file')
    .option('-n, --namespace <namespaces...>', 'only for workloads of these (default: all but kube-system)')
    .option('--no-dns', 'no rule for DNS where no query was seen')
    .option(...manifests)
    .addOption(new Option('-o, --output <format>', 'how to print them').choices(['yaml', 'json']).default('yaml'))
    .action(async (options) => (await import('./policy-recommend.ts')).runPolicyRecommend(options));
  command(policy, 'diff', 'what manifests would allow and deny that is not so now', 'podwire policy diff -f new.yaml')
    .option('-f, --filename <path>', 'the manifests that are to be applied')
    .option('--base <path>', 'other manifests in place of a cluster, over which they are laid')
    .option('--staged', 'as if what is staged were in force; alone: what that would change')
    .option('--flows <file>', 'only of these flows: what `policy recommend --record` wrote, or conntrack -L prints')
    .addOption(tableOrJson())
    .action(async (options) => (await import('./policy-diff.ts')).runPolicyDiff(options));
  command(policy, 'lint', 'what in policies is likely not meant', 'podwire policy lint -f manifests/')
    .option(...manifests)
    .addOption(tableOrJson())
    .action(async (options) => (await policies()).runPolicyLint(options));

  const node = podwire.command('node').description('the nodes of a cluster');
  command(
    node,
    'exec',
    "run a command of the machine in a node's network namespace",
    'podwire node exec node-1 -- ip route',
  )
    .argument('<node>')
    .argument('<command...>')
    .passThroughOptions()
    .action(async (name, words, options) => (await import('./node-exec.ts')).runNodeExec(name, words, options));

  command(node, 'add', 'add a node to a live cluster', 'podwire node add').action(async (options) =>
    (await import('./node.ts')).runNodeVerb('add', undefined, options),
  );
  for (const [verb, what] of [
    ['rm', 'take a node and its pods away'],
    ['stop', "end a node's agent and pull its plug; its containers go on"],
    ['start', 'start a stopped node again'],
    ['isolate', "pull a node's plug: nobody reaches it, and its agent reaches no API server"],
    ['heal', 'put the plug in again'],
  ] as const) {
    command(node, verb, what, `podwire node ${verb} node-2`)
      .argument('<node>')
      .action(async (name, options) => (await import('./node.ts')).runNodeVerb(verb, name, options));
  }
  command(node, 'kill', "end a node's agent without a word, as a crash does", 'podwire node kill node-2')
    .argument('<node>')
    .option('--stay', 'it comes back with `podwire node start`, not by itself after a second')
    .action(async (name, options) => (await import('./node.ts')).runNodeVerb('kill', name, options));

  const overlay = podwire.command('overlay').description('how pods of different nodes meet');
  command(overlay, 'set', 'change it while pods talk: connections stay', 'podwire overlay set host-gw')
    .argument('<backend>', 'vxlan, host-gw, ipip, udp or none')
    .option('--direct-routing', 'plain routes within a rack, the overlay only between racks')
    .action(async (backend, options) => (await import('./overlay.ts')).runOverlaySet(backend, options));
  command(overlay, 'show', 'print what is in use', 'podwire overlay show -o json')
    .addOption(textOrJson())
    .action(async (options) => (await import('./overlay.ts')).runOverlayShow(options));

  const dns = command(
    podwire,
    'dns',
    "what each node's DNS server does, and what of its resolvers answers",
    'podwire dns',
  )
    .addOption(tableOrJson())
    .enablePositionalOptions()
    .action(async (options) => (await import('./dns-status.ts')).runDnsStatus(options));
  command(
    dns,
    'trace',
    "every query that a pod's resolver makes for a name, and what would have cost one",
    'podwire dns trace -n demo client www.example.com',
  )
    .argument('<pod>', 'NAME or NAMESPACE/NAME')
    .argument('<hostname>', 'as a program in the pod would say it')
    .option('-n, --namespace <namespace>', 'the namespace of the pod', 'default')
    .option('--type <types>', 'A, AAAA or both', 'A,AAAA')
    .addOption(tableOrJson())
    .action(async (pod, hostname, options) => (await import('./dns.ts')).runDnsTrace(pod, hostname, options));

  const image = podwire.command('image').description('images that pods can use');
  const images = () => import('./image.ts');
  plain(image, 'load', 'load an OCI or Docker archive', 'docker save shop:1 -o shop.tar && podwire image load shop.tar')
    .argument('<file>')
    .action(async (file) => (await images()).runImageLoad(file));
  plain(image, 'ls', 'list the loaded images', 'podwire image ls')
    .addOption(tableOrJson())
    .action(async (options) => (await images()).runImageList(options));
  plain(image, 'rm', 'remove an image by name or digest', 'podwire image rm shop:1')
    .argument('<image>')
    .action(async (name) => (await images()).runImageRemove(name));

  const ipam = podwire.command('ipam').description('addresses: who holds which since when, and leaks');
  const ipams = () => import('./ipam.ts');
  plain(ipam, 'show', 'list addresses with their holders', 'podwire ipam show -o json')
    .addOption(tableOrJson())
    .option('--network <name>', 'only of this CNI network')
    .option('--name <name>', 'only of the nodes of this cluster', requireClusterName)
    .option(...CNI_DATA_DIR)
    .action(async (options) => (await ipams()).runIpamShow(options));
  plain(ipam, 'check', 'find addresses whose holder is gone', 'podwire ipam check')
    .addOption(tableOrJson())
    .option(...CNI_DATA_DIR)
    .action(async (options) => (await ipams()).runIpamCheck(options));
  plain(ipam, 'release', 'give addresses of CNI networks back', 'podwire ipam release --leaked')
    .argument('[ip...]')
    .addOption(textOrJson())
    .option('--leaked', 'all whose holder is gone, with what else is left of it')
    .option('--force', 'also of a container that lives')
    .option('--network <name>', 'only of this CNI network')
    .option(...CNI_DATA_DIR)
    .action(async (ips, options) => (await ipams()).runIpamRelease(ips, options));
  addCni(podwire, command, plain);
  strict(podwire, '');
  return podwire;
}

type AddCommand = (parent: Command, usage: string, what: string, example: string) => Command;

function addCni(podwire: Command, command: AddCommand, plain: AddCommand): void {
  const cni = podwire.command('cni').description('the pod network for container runtimes: a CNI plugin');
  const cnis = () => import('./cni.ts');
  const socket = ['--socket <path>', 'where the agent takes calls', '/run/podwire/cni.sock'] as const;
  const places = (of: Command) =>
    of
      .option('--bin-dir <dir>', 'where the runtime looks for plugins', '/opt/cni/bin')
      .option('--conf-dir <dir>', 'where the runtime looks for networks', '/etc/cni/net.d')
      .option('--network <name>', 'name of the network', 'podwire');
  places(command(cni, 'install', 'put the plugin and a network where container runtimes look', 'podwire cni install'))
    .option('--subnet <prefix...>', 'of the network, one for each address of a container', ['10.22.0.0/16'])
    .option('--node <node>', 'the pod network of this node of a cluster, in place of one that stands alone')
    .option('--no-conflist', 'the plugin alone')
    .option(...socket)
    .action(async (options) => (await cnis()).runCniInstall(options));
  places(plain(cni, 'uninstall', 'take away what install has put there', 'podwire cni uninstall'))
    .option('--force', 'also while containers are attached')
    .action(async (options) => (await cnis()).runCniUninstall(options));
  plain(cni, 'agent', 'take the calls of plugins that stand alone: ten times faster', 'podwire cni agent')
    .option(...socket)
    .action(async (options) => (await cnis()).runCniAgent(options));
  plain(cni, 'show', 'list what is attached, and what each ADD spent its time on', 'podwire cni show -o json')
    .addOption(tableOrJson())
    .option(...CNI_DATA_DIR)
    .action(async (options) => (await cnis()).runCniShow(options));
}

function tableOrJson(): Option {
  return new Option('-o, --output <format>', 'how to print it').choices(['table', 'json']).default('table');
}

function textOrJson(what = 'how to print it'): Option {
  return new Option('-o, --output <format>', what).choices(['text', 'json']).default('text');
}

/** Errors of usage are thrown, so that they leave by the one door below, and end with what would help. */
function strict(command: Command, before: string): void {
  const name = `${before}${command.name()}`;
  const verbs = command.commands.map((each) => each.name());
  command.exitOverride();
  command.configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'podwire: ')) });
  command.showHelpAfterError(
    verbs.length === 0 ? `(${name} --help shows an example)` : `(${name} has ${verbs.join(', ')}; --help says more)`,
  );
  for (const each of command.commands) strict(each, `${name} `);
}

export async function main(words: readonly string[]): Promise<void> {
  try {
    await program().parseAsync(words, { from: 'user' });
  } catch (error) {
    process.exitCode = report(error);
  }
}

/** Prints one line and returns the exit code: 1 for what failed, 2 for a wrong call. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof Fault) {
    console.error(
      `podwire: ${error.message}${error.mend ? `${/[?!]$/.test(error.message) ? '' : '.'} ${sentence(error.mend)}` : ''}`,
    );
    return error.exitCode;
  }
  if (process.env['PODWIRE_DEBUG']) console.error(error);
  console.error(`podwire: ${error instanceof Error ? error.message : error} (PODWIRE_DEBUG=1 shows where)`);
  return 1;
}

function sentence(text: string): string {
  return /^(podwire|docker|kubectl) /.test(text) ? `Try: ${text}` : `${text[0]!.toUpperCase()}${text.slice(1)}`;
}
