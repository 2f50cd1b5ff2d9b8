#!/usr/bin/env bash
# podman-compose 1.0.3-3 (Debian 12), with python3-yaml and python3-dotenv of Debian 12 installed.
#
# Behaviour: where a second file (-f) gives a service another command, entrypoint or health check, the list is put behind that of the first file. By the Compose
# specification these three are replaced, which docker compose does. The container then starts with both commands one behind the other, or a health check that
# has the second's "CMD" as an argument. Only ports, mounts and the like are to be joined.
# An override for podman-compose therefore has to set variables that the first file's command names, or the whole command as one string.
#
# Output seen (the end of the command that it would run, without starting it):
#   --entrypoint ["/bin/app", "/bin/other"] --healthcheck-command /bin/sh -c one' 'CMD' 'two localhost/web serve --port 80 serve --port 81
set -euo pipefail
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
cd "$t"
apt-get download -qq podman-compose=1.0.3-3 >/dev/null 2>&1 || { echo "podman-compose 1.0.3-3 cannot be downloaded" >&2; exit 2; }
dpkg -x podman-compose_*.deb p
# It asks podman for its version and runs nothing in a dry run.
printf '#!/bin/sh\necho podman version 4.3.1\n' >podman && chmod +x podman
cat >first.yaml <<'X'
services:
  web:
    image: localhost/web
    entrypoint: ["/bin/app"]
    command: ["serve", "--port", "80"]
    healthcheck: { test: ["CMD", "one"] }
X
cat >second.yaml <<'X'
services:
  web:
    entrypoint: ["/bin/other"]
    command: ["serve", "--port", "81"]
    healthcheck: { test: ["CMD", "two"] }
X
PYTHONPATH=p/usr/lib/python3/dist-packages python3 p/usr/bin/podman-compose --podman-path "$t/podman" --dry-run -p x -f first.yaml -f second.yaml up >log 2>&1 || { cat log; exit 2; }
grep -m1 'podman create' log | sed 's/.*--network-alias web //' | tee seen
diff seen - <<'X'
--entrypoint ["/bin/app", "/bin/other"] --healthcheck-command /bin/sh -c one' 'CMD' 'two localhost/web serve --port 80 serve --port 81
X
