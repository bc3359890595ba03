# Run by cri.test.ts in the node's network namespace and in mount and PID namespaces of its own, with which all that it starts ends. Wants
# DIR, PLUGIN, IMAGE. Serves CRI on $DIR/sock until its standard input ends.
set -eu
# The shims' sockets have a fixed place.
mkdir -p /run/containerd
mount -t tmpfs tmpfs /run/containerd
mkdir -p "$DIR/net" "$DIR/cni"
ln -s "$PLUGIN" "$DIR/cni/podwire-cni"
cp /usr/lib/cni/loopback "$DIR/cni/"
cp "$DIR/podwire.conflist" "$DIR/net/"
# A sandbox asks for an OOM score of -998, which root without CAP_SYS_RESOURCE may not set (runc says "can't get final child's PID").
cat > "$DIR/config.toml" <<X
version = 2
root = "$DIR/root"
state = "$DIR/state"
[grpc]
address = "$DIR/sock"
[plugins."io.containerd.internal.v1.opt"]
path = "$DIR/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "podwire.test/web:1"
disable_apparmor = true
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "$DIR/cni"
conf_dir = "$DIR/net"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
X
containerd -c "$DIR/config.toml" > "$DIR/containerd.log" 2>&1 &
containerd=$!
finish() {
  kill "$containerd"
  wait "$containerd" || true
}
trap finish EXIT
for _ in $(seq 300); do
  [ -S "$DIR/sock" ] && break
  kill -0 "$containerd" 2> /dev/null || { cat "$DIR/containerd.log" >&2; exit 1; }
  sleep 0.1
done
ctr -a "$DIR/sock" -n k8s.io image import --snapshotter native "$IMAGE" > /dev/null
echo ready
cat > /dev/null
