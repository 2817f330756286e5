#!/usr/bin/env bash
# Replaces the replicas of compose.yaml one by one, by those of the image as it is now. The next one
# waits until the balancer, not a clock, says that the one before is back.
#
#   docker build -t ganserve . && deploy/roll.sh
#
# STATS is where HAProxy shows its metrics; STATS= (empty) with nginx, which checks nobody: there
# the container's own health has to do.
set -euo pipefail
cd "$(dirname "$0")"
STATS=${STATS-http://127.0.0.1:8404/metrics}
PATIENCE=${PATIENCE:-120} # seconds

back() { # whether the balancer sends requests to a replica
    curl -fsS "$STATS" | grep "^haproxy_server_status{proxy=\"pictures\",server=\"$1\",state=\"UP\"} 1" >/dev/null
}

for name in a b; do
    docker compose up --detach --no-deps --no-build --force-recreate --wait "replica-$name"
    [ -z "$STATS" ] && continue
    until=$((SECONDS + PATIENCE))
    until back "$name"; do
        if [ "$SECONDS" -ge "$until" ]; then
            echo "replica-$name is not back after $PATIENCE s; the other one still runs as before" >&2
            exit 1
        fi
        sleep 0.2
    done
    echo "replica-$name is back"
done
