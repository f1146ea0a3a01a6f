#!/usr/bin/env bash
# Stops what up.sh started out of DIR, by its recorded process ids. `--wipe` removes the database too.
DIR=${1:?usage: down.sh DIR [--wipe]}
stop() { # pid file, signal
  [ -f "$1" ] || return 0
  local pid
  pid=$(head -1 "$1")
  kill "-$2" "$pid" 2>/dev/null
  for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
}
stop "$DIR/run/rt.pid" TERM
rm -f "$DIR/run/rt.pid"
stop "$DIR/pg/postmaster.pid" INT
[ "${2:-}" = --wipe ] && rm -rf "$DIR/pg" "$DIR/run" "$DIR/token"
exit 0
