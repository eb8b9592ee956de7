#!/bin/sh
# Runs three members on this machine until it is interrupted: clients at 127.0.0.1:2379, 22379 and
# 32379, data below the directory given (./three-members). ETCD names the program, if it is not in PATH.
set -eu
etcd=${ETCD:-etcd}
data=${1:-three-members}
cluster=a=http://127.0.0.1:2380,b=http://127.0.0.1:22380,c=http://127.0.0.1:32380
mkdir -p "$data"
members=

member() { # name, port of clients, port of members
	"$etcd" --name "$1" --data-dir "$data/$1.etcd" \
		--listen-client-urls "http://127.0.0.1:$2" --advertise-client-urls "http://127.0.0.1:$2" \
		--listen-peer-urls "http://127.0.0.1:$3" --initial-advertise-peer-urls "http://127.0.0.1:$3" \
		--initial-cluster "$cluster" --initial-cluster-token three-members >>"$data/$1.log" 2>&1 &
	members="$members $!"
}

# shellcheck disable=SC2064,SC2086
stop() { trap - INT TERM EXIT; kill $members 2>/dev/null || true; wait; }
trap stop INT TERM EXIT

member a 2379 2380
member b 22379 22380
member c 32379 32380
echo "three members: ETCDCTL_ENDPOINTS=127.0.0.1:2379,127.0.0.1:22379,127.0.0.1:32379, logs in $data/"
wait
