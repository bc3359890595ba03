// Room dns (tests): the manifests of Kubernetes' own page on DNS for Services and pods, in its shapes, over three nodes.

/** Every program of the machine is in the pod, dig among them. */
const image = `    image: host
    command: ["sleep", "3600"]`;

export const MANIFESTS = `
apiVersion: v1
kind: Service
metadata:
  name: busybox-subdomain
spec:
  selector:
    name: busybox
  clusterIP: None
  ipFamilyPolicy: RequireDualStack
  ports:
  - name: foo
    port: 1234
---
apiVersion: v1
kind: Pod
metadata:
  name: busybox1
  labels:
    name: busybox
spec:
  nodeName: node-1
  hostname: busybox-1
  subdomain: busybox-subdomain
  terminationGracePeriodSeconds: 0
  containers:
  - name: busybox
${image}
---
apiVersion: v1
kind: Pod
metadata:
  name: busybox2
  labels:
    name: busybox
spec:
  nodeName: node-2
  hostname: busybox-2
  subdomain: busybox-subdomain
  setHostnameAsFQDN: true
  terminationGracePeriodSeconds: 0
  containers:
  - name: busybox
${image}
---
apiVersion: v1
kind: Pod
metadata:
  name: dns-example
spec:
  nodeName: node-3
  terminationGracePeriodSeconds: 0
  containers:
  - name: test
${image}
  dnsPolicy: "None"
  dnsConfig:
    nameservers:
    - 192.0.2.1
    searches:
    - ns1.svc.cluster-domain.example
    - my.dns.search.suffix
    options:
    - name: ndots
      value: "2"
    - name: edns0
---
apiVersion: v1
kind: Pod
metadata:
  name: host-net
spec:
  nodeName: node-3
  terminationGracePeriodSeconds: 0
  containers:
  - name: busybox
${image}
  restartPolicy: Always
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
---
apiVersion: v1
kind: Pod
metadata:
  name: host-first
spec:
  nodeName: node-1
  terminationGracePeriodSeconds: 0
  containers:
  - name: busybox
${image}
  hostNetwork: true
---
apiVersion: v1
kind: Pod
metadata:
  name: host-default
spec:
  nodeName: node-2
  terminationGracePeriodSeconds: 0
  containers:
  - name: busybox
${image}
  hostNetwork: true
  dnsPolicy: Default
---
apiVersion: v1
kind: Pod
metadata:
  name: host-none
spec:
  nodeName: node-1
  terminationGracePeriodSeconds: 0
  containers:
  - name: busybox
${image}
  hostNetwork: true
  dnsPolicy: None
  dnsConfig:
    nameservers: ["192.0.2.1"]
    searches: [corp.example]
---
apiVersion: v1
kind: Service
metadata:
  name: kerberos
spec:
  clusterIP: None
  selector:
    app: kdc
---
apiVersion: v1
kind: Pod
metadata:
  name: kdc
  labels:
    app: kdc
spec:
  nodeName: node-2
  hostname: kdc-1
  subdomain: kerberos
  hostnameOverride: kdc1.example.com
  terminationGracePeriodSeconds: 0
  containers:
  - name: busybox
${image}
---
apiVersion: v1
kind: Pod
metadata:
  name: default-policy
spec:
  nodeName: node-2
  terminationGracePeriodSeconds: 0
  containers:
  - name: busybox
${image}
  dnsPolicy: Default
---
apiVersion: v1
kind: Service
metadata:
  name: my-service
spec:
  selector:
    name: busybox
  ipFamilyPolicy: PreferDualStack
  ports:
  - name: http
    protocol: TCP
    port: 80
    targetPort: 9376
  - name: dns
    protocol: UDP
    port: 53
---
apiVersion: v1
kind: Service
metadata:
  name: only-v6
spec:
  selector:
    name: busybox
  ipFamilies: [IPv6]
  ports:
  - port: 80
---
apiVersion: v1
kind: Service
metadata:
  name: external
spec:
  type: ExternalName
  externalName: www.test
---
apiVersion: v1
kind: Service
metadata:
  name: alias
spec:
  type: ExternalName
  externalName: my-service.default.svc.cluster.local
---
apiVersion: v1
kind: Service
metadata:
  name: published
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector:
    app: unready
---
apiVersion: v1
kind: Service
metadata:
  name: hidden
spec:
  clusterIP: None
  selector:
    app: unready
---
apiVersion: v1
kind: Pod
metadata:
  name: unready
  labels:
    app: unready
spec:
  nodeName: node-1
  terminationGracePeriodSeconds: 0
  containers:
  - name: busybox
${image}
    readinessProbe:
      exec:
        command: ["test", "-e", "/tmp/ready"]
      periodSeconds: 1
---
apiVersion: v1
kind: Service
metadata:
  name: manual
spec:
  clusterIP: None
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: manual-1
  labels:
    kubernetes.io/service-name: manual
addressType: IPv4
ports:
- name: sql
  port: 5432
  protocol: TCP
endpoints:
- addresses: ["198.51.100.7"]
  hostname: first
- addresses: ["198.51.100.8"]
`;
