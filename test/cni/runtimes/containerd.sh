# Run by runtimes.test.ts in the node's network namespace and a mount namespace of its own. Wants DIR and PLUGIN.
set -eu
# The paths are fixed in ctr: what is laid over them is gone with the mount namespace.
for path in /etc /opt; do
  mkdir -p "$DIR/upper$path" "$DIR/work$path"
  mount -t overlay overlay -o "lowerdir=$path,upperdir=$DIR/upper$path,workdir=$DIR/work$path" "$path"
  rm -rf "$path/cni"
done
mkdir -p /etc/cni/net.d /opt/cni/bin
cp "$DIR/podwire.conflist" /etc/cni/net.d/
ln -s "$PLUGIN" /opt/cni/bin/podwire-cni
cp /usr/lib/cni/loopback /opt/cni/bin/
cat > "$DIR/config.toml" <<X
version = 2
root = "$DIR/root"
state = "$DIR/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$DIR/sock"
X
containerd -c "$DIR/config.toml" > "$DIR/containerd.log" 2>&1 &
containerd=$!
ctr() { command ctr -a "$DIR/sock" "$@"; }
finish() {
  ctr task kill -s 9 web || true
  for _ in $(seq 100); do ctr task rm web > /dev/null 2>&1 && break; sleep 0.1; done
  ctr container rm web || true
  kill "$containerd"
  wait "$containerd" || true
}
trap finish EXIT
for _ in $(seq 300); do [ -S "$DIR/sock" ] && break; sleep 0.1; done
ctr run -d --cni --rootfs "$DIR/rootfs" web /bin/busybox httpd -f -p 80 -h /www
address=10.88.0.2
echo "address $address"
for _ in $(seq 100); do busybox wget -qO- "http://$address/" > /dev/null 2>&1 && break; sleep 0.1; done
echo "pod $(ctr run --rm --cni --rootfs "$DIR/rootfs" client /bin/busybox wget -qO- "http://$address/")"
echo "node $(busybox wget -qO- "http://$address/")"
