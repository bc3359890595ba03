// Services in each form in which people write them after Kubernetes' documentation, and what these need besides. Pods with the label
// app.kubernetes.io/name: MyApp are on node-1 and node-2.

/** Made before all others: Services of the cluster may have addresses of it. */
export const RANGE = `
apiVersion: networking.k8s.io/v1
kind: ServiceCIDR
metadata:
  name: newcidr1
spec:
  cidrs:
  - 10.97.0.0/24
`;

const service = (name: string, spec: string, metadata = '') => `
apiVersion: v1
kind: Service
metadata:
  name: ${name}
${metadata}spec:
${spec}`;

const SELECTOR = `  selector:
    app.kubernetes.io/name: MyApp
`;
const TO_WEB = `${SELECTOR}  ports:
  - protocol: TCP
    port: 80
    targetPort: 9376
`;
const DUAL = '  ipFamilyPolicy: PreferDualStack\n';

const FORMS = [
  service('my-service', TO_WEB),
  service(
    'named',
    `${DUAL}${SELECTOR}  ports:
  - name: name-of-service-port
    protocol: TCP
    port: 80
    targetPort: http-web-svc
`,
  ),
  service(
    'multi',
    `${DUAL}${SELECTOR}  ports:
  - name: http
    port: 80
    targetPort: 9376
    appProtocol: kubernetes.io/h2c
  - name: ask
    port: 53
    targetPort: 9376
  - name: tell
    protocol: UDP
    port: 53
    targetPort: 9377
  - name: stream
    protocol: SCTP
    port: 53
    targetPort: 9378
`,
  ),
  service(
    'no-selector',
    `${DUAL}  ports:
  - name: http
    protocol: TCP
    port: 80
    targetPort: 8080
`,
  ),
  `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: no-selector-1
  labels:
    kubernetes.io/service-name: no-selector
    endpointslice.kubernetes.io/managed-by: cluster-admins
addressType: IPv4
ports:
- name: http
  appProtocol: http
  protocol: TCP
  port: 8080
endpoints:
- addresses:
  - "172.30.0.100"
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: no-selector-2
  labels: {kubernetes.io/service-name: no-selector}
addressType: IPv6
ports:
- name: http
  port: 8080
endpoints:
- addresses: ["fd00:172:30::100"]
  conditions: {ready: true}
`,
  service('by-endpoints', '  ports:\n  - port: 80\n    targetPort: 8080\n'),
  `
apiVersion: v1
kind: Endpoints
metadata:
  name: by-endpoints
subsets:
- addresses:
  - ip: 172.30.0.100
  ports:
  - port: 8080
`,
  service('headless', `  clusterIP: None\n${DUAL}${TO_WEB}`),
  service('headless-without-ports', `  clusterIP: None\n${SELECTOR}`),
  service('chosen', `  clusterIP: 10.96.0.77\n${TO_WEB}`),
  service('further', `  clusterIP: 10.97.0.9\n${TO_WEB}`),
  service(
    'node-port',
    `  type: NodePort
${DUAL}${SELECTOR}  ports:
  - port: 80
    targetPort: 9376
    nodePort: 30007
`,
  ),
  service('node-port-local', `  type: NodePort\n  externalTrafficPolicy: Local\n${DUAL}${TO_WEB}    nodePort: 30008\n`),
  service('balanced', `  type: LoadBalancer\n${TO_WEB}`),
  service(
    'balanced-local',
    `  type: LoadBalancer
  externalTrafficPolicy: Local
  allocateLoadBalancerNodePorts: false
${TO_WEB}`,
  ),
  service(
    'balanced-for-some',
    `  type: LoadBalancer
  loadBalancerSourceRanges:
  - 172.30.0.96/27
${TO_WEB}`,
  ),
  service('other-class', `  type: LoadBalancer\n  loadBalancerClass: internal/a\n${TO_WEB}`),
  service('my-database', '  type: ExternalName\n  externalName: my.database.example.com\n'),
  service('alias', '  type: ExternalName\n  externalName: my-service.default.svc.cluster.local\n'),
  service('external', `${DUAL}  externalIPs:\n  - 198.51.100.32\n  - 2001:db8::32\n${TO_WEB}`),
  service(
    'sticky',
    `${DUAL}  sessionAffinity: ClientIP
  sessionAffinityConfig:
    clientIP:
      timeoutSeconds: 3600
${TO_WEB}`,
  ),
  service('inside', `  internalTrafficPolicy: Local\n${TO_WEB}`),
  service('same-node', `  trafficDistribution: PreferSameNode\n${TO_WEB}`),
  service('same-zone', `  trafficDistribution: PreferSameZone\n${TO_WEB}`),
  service('close', `  trafficDistribution: PreferClose\n${TO_WEB}`),
  service('auto', TO_WEB, '  annotations:\n    service.kubernetes.io/topology-mode: Auto\n'),
  service(
    'required',
    `  ipFamilyPolicy: RequireDualStack\n${TO_WEB}`,
    '  labels:\n    app.kubernetes.io/name: MyApp\n',
  ),
  service('only-v6', `  ipFamilies:\n  - IPv6\n${TO_WEB}`),
  service('v6-first', `${DUAL}  ipFamilies:\n  - IPv6\n  - IPv4\n${TO_WEB}`),
  service('nobody', '  selector: {app: nobody}\n  ports:\n  - port: 80\n'),
  service('self', `${DUAL}  selector: {pod: web-1}\n  ports:\n  - port: 80\n    targetPort: 9376\n`),
];

export const MANIFESTS = FORMS.join('---');

/** Of the tutorials: a Deployment whose pods say their names, for `kubectl expose`. */
export const HOSTNAMES = `
apiVersion: apps/v1
kind: Deployment
metadata:
  labels:
    app: hostnames
  name: hostnames
spec:
  replicas: 2
  selector:
    matchLabels:
      app: hostnames
  template:
    metadata:
      labels:
        app: hostnames
    spec:
      containers:
      - name: hostnames
        image: registry.k8s.io/e2e-test-images/agnhost:2.53
        args: [netexec, --http-port=9376]
        ports:
        - containerPort: 9376
`;

/** It answers on while it is on its way out, as long as it is let. */
export const LEAVING = `
apiVersion: v1
kind: Pod
metadata:
  name: leaving
  labels: {app: leaving}
spec:
  nodeName: node-2
  terminationGracePeriodSeconds: 600
  containers:
  - name: web
    image: podwire.io/agnhost
    args: [netexec, --http-port=9376, --delay-shutdown=600]
    readinessProbe: {httpGet: {path: /healthz, port: 9376}, periodSeconds: 1}
---${service('leaving', '  selector: {app: leaving}\n  ports:\n  - port: 80\n    targetPort: 9376\n')}`;

const ASKS_UNREADY = '  selector: {app: unready}\n  ports:\n  - port: 80\n    targetPort: 9376\n';

/** Ready as soon as it has the file /tmp/ready. */
export const UNREADY = `
apiVersion: v1
kind: Pod
metadata:
  name: unready
  labels: {app: unready}
spec:
  nodeName: node-2
  terminationGracePeriodSeconds: 0
  containers:
  - name: web
    image: podwire.io/agnhost
    args: [netexec, --http-port=9376]
    readinessProbe: {exec: {command: [test, -e, /tmp/ready]}, periodSeconds: 1}
---${service('eager', `  publishNotReadyAddresses: true\n${ASKS_UNREADY}`)}---${service('patient', ASKS_UNREADY)}`;
