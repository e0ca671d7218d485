#!/bin/bash
# Runs a program on two hosts that it makes itself: network namespaces joined by a virtual link, with real TCP between.
#   two_hosts.sh RANKS_PER_HOST PROGRAM [ARGUMENT...]
# Returns the program's exit code, or 77 with the reason where hosts cannot be made. LINK_OPTIONS go to tc's netem,
# for a slow link: LINK_OPTIONS='delay 50ms loss 1%'.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
ranks_per_host=$1
shift

name=sluice-$$
not_here() {
  echo "two_hosts: skipped: $1" >&2
  exit 77
}
[[ $(id -u) == 0 ]] || not_here "network namespaces can only be made by root"
command -v ip >/dev/null || not_here "no ip command (package iproute2)"

folder=$(mktemp -d /tmp/sluice.XXXXXX)
clean_up() {
  ip netns delete "$name-a" 2>/dev/null || true
  ip netns delete "$name-b" 2>/dev/null || true
  rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

reason=$(ip netns add "$name-a" 2>&1) || not_here "$reason"
reason=$(ip netns add "$name-b" 2>&1) || not_here "$reason"
reason=$(ip -n "$name-a" link add link0 type veth peer name link0 netns "$name-b" 2>&1) || not_here "$reason"
for host in a b; do
  address=10.213.77.$([[ $host == a ]] && echo 1 || echo 2)
  ip -n "$name-$host" address add "$address/24" dev link0
  ip -n "$name-$host" link set link0 up
  ip -n "$name-$host" link set lo up
  if [[ -n ${LINK_OPTIONS:-} ]]; then
    # shellcheck disable=SC2086
    reason=$(ip netns exec "$name-$host" tc qdisc add dev link0 root netem $LINK_OPTIONS 2>&1) ||
      not_here "no slow link: $reason"
  fi
done

# What ssh is between real hosts.
cat >"$folder/rsh" <<END
#!/bin/bash
shift
exec ip netns exec $name-b unshare --uts /bin/bash -c 'hostname host-b; exec /bin/sh -c "\$0"' "\$*"
END
chmod +x "$folder/rsh"

status=0
ip netns exec "$name-a" unshare --uts /bin/bash -c 'hostname host-a; exec "$@"' bash \
  "$here/launch" --hosts=10.213.77.1,10.213.77.2 --ranks_per_host="$ranks_per_host" --rsh="$folder/rsh" \
  --network=10.213.77.0/24 -- "$@" || status=$?
exit "$status"
