#!/bin/sh
# A first sync between two emulated servers on loopback, as a newcomer makes it: first_sync.sh CONFIG LEDGER
# Uses the ports 8801 and 8802. Writes CONFIG; the release-mirror in the PATH does the rest.
set -eu

config=$1
ledger=$2
work=$(mktemp -d)
source= target=
trap 'kill $source $target 2>/dev/null || true; wait; rm -rf "$work"' EXIT

echo '{"repositories": [{"name": "octo/tool", "releases": [{"tag": "v1.0.0", "assets": [
  {"name": "tool.tar.gz", "size": 5000000, "seed": 1}, {"name": "sums.txt", "text": "abc"}]}]}]}' >"$work/source.json"
echo '{"organizations": ["mirrors"], "tokens": [{"token": "first-sync", "login": "bot", "admin": true}]}' >"$work/target.json"
release-mirror emulator --port 8801 --seed "$work/source.json" >"$work/source" &
source=$!
release-mirror emulator --port 8802 --seed "$work/target.json" >"$work/target" &
target=$!
waited=0
until [ -s "$work/source" ] && [ -s "$work/target" ]; do
  waited=$((waited + 1))
  [ $waited -lt 600 ] || { echo "first_sync: the emulated servers did not start in a minute" >&2; exit 1; }
  sleep 0.1
done

cat >"$config" <<EOF
[target]
url = "http://127.0.0.1:8802"
token = "env:MIRROR_TARGET_TOKEN"

[sources.github]
url = "http://127.0.0.1:8801"

[[mirrors]]
source = "octo/tool"
target = "mirrors/tool"
tags = "${TAGS:-create}"

[ledger]
directory = "$ledger"

[daemon]
listen = "0.0.0.0:8321"
hosts = ["localhost"]
EOF
export MIRROR_TARGET_TOKEN=first-sync RELEASE_MIRROR_CONFIG="$config"
release-mirror check
release-mirror plan
release-mirror sync
release-mirror sync --full
release-mirror status
