# Run by runtimes.test.ts in the node's network namespace and a mount namespace of its own. Wants DIR, PLUGIN, OUTSIDE, NODE_IP.
set -eu
mkdir -p "$DIR/net" "$DIR/cni"
ln -s "$PLUGIN" "$DIR/cni/podwire-cni"
cp "$DIR/podwire.conflist" "$DIR/net/"
cat > "$DIR/containers.conf" <<X
[network]
network_backend="cni"
cni_plugin_dirs=["$DIR/cni"]
network_config_dir="$DIR/net"
default_network="podwire"
[engine]
cgroup_manager="cgroupfs"
events_logger="file"
tmp_dir="$DIR/tmp"
[containers]
default_ulimits=[]
X
export CONTAINERS_CONF="$DIR/containers.conf"
# A server that has just been started may not listen yet.
get() { for _ in $(seq 100); do busybox wget -qO- "$1" 2> /dev/null && return; sleep 0.1; done; }
podman() { command podman --root "$DIR/root" --runroot "$DIR/run" --storage-driver vfs --runtime runc "$@"; }
tar -C "$DIR/rootfs" -c . > "$DIR/image.tar"
podman import -q "$DIR/image.tar" pwt-busybox > /dev/null
trap 'podman rm -f -a -t 0 > /dev/null' EXIT
podman run -d --name web --network podwire -p 8080:80 pwt-busybox /bin/busybox httpd -f -p 80 -h /www > /dev/null
address=$(podman inspect -f '{{.NetworkSettings.Networks.podwire.IPAddress}}' web)
echo "address $address"
echo "pod $(podman run --rm --network podwire pwt-busybox /bin/busybox wget -qO- "http://$address/")"
echo "node $(get "http://$NODE_IP:8080/")"
echo "localhost $(get http://127.0.0.1:8080/)"
podman run -d --name near --network podwire -p 127.0.0.1:8081:80 pwt-busybox /bin/busybox httpd -f -p 80 -h /www > /dev/null
echo "near $(get http://127.0.0.1:8081/)"
echo "outside $(nsenter --net="$OUTSIDE" busybox wget -qO- "http://$NODE_IP:8080/")"
podman run -d --name fixed --network podwire --ip 10.88.0.77 --mac-address 02:00:0a:58:00:4d pwt-busybox /bin/busybox sleep 1000 > /dev/null
podman restart -t 0 fixed > /dev/null
echo "again $(podman exec fixed /bin/busybox ip -o addr show eth0 | grep -o '10\.88\.0\.77')"
