#!/usr/bin/env bash
# Starts Request Tracker 5 (Debian packages) with a PostgreSQL of its own, both on loopback, both out of DIR. Root only.
#   RT_PORT, RT_PGPORT           ports (needed)
#   RT_WEBHOOK_URL               where its scrips send, RT_WEBHOOK_SECRET their key (optional)
#   RT_OWNER                     process id: when it is gone, everything is stopped and DIR is removed (optional)
#   RT_WORKERS, RT_BCRYPT_COST   4 and 4 (RT itself: 12, a quarter of a second of CPU for every call)
# Exit 3: it cannot be installed here; the last line says why. Logins: itsm-bridge (its token in DIR/token), alice / alice-pass-1.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
DIR=${1:?usage: up.sh DIR}
mkdir -p "$DIR/etc/conf.d" "$DIR/run"
DIR=$(cd "$DIR" && pwd)
chmod 755 "$DIR"
PORT=${RT_PORT:?RT_PORT}
PGPORT=${RT_PGPORT:?RT_PGPORT}

cannot() { echo "$1"; exit 3; }

install_packages() {
  dpkg -s request-tracker5 rt5-standalone rt5-db-postgresql >/dev/null 2>&1 && return
  command -v apt-get >/dev/null || cannot "no apt-get on this machine"
  export DEBIAN_FRONTEND=noninteractive
  echo 'request-tracker5 request-tracker5/dbconfig-install boolean false' | debconf-set-selections
  apt-get -o DPkg::Lock::Timeout=600 update >"$DIR/apt.log" 2>&1 || cannot "apt-get update failed: $(tail -1 "$DIR/apt.log")"
  apt-get -o DPkg::Lock::Timeout=600 install -y --no-install-recommends \
    msmtp-mta request-tracker5 rt5-standalone rt5-db-postgresql >>"$DIR/apt.log" 2>&1 ||
    cannot "request-tracker5 cannot be installed: $(tail -1 "$DIR/apt.log")"
}

# Whatever way the owner ends, also by a signal, nothing of this stays behind.
watch_owner() {
  [ -n "${RT_OWNER:-}" ] || return 0
  [ -f "$DIR/run/watch.pid" ] && kill -0 "$(cat "$DIR/run/watch.pid")" 2>/dev/null && return 0
  (cd / && exec setsid bash -c 'while kill -0 "$1" 2>/dev/null; do sleep 1; done; bash "$2" "$3" --wipe; rm -rf "$3"' \
    watch "$RT_OWNER" "$HERE/down.sh" "$DIR" >/dev/null 2>&1 </dev/null) &
  echo $! >"$DIR/run/watch.pid"
}

[ "$(id -u)" = 0 ] || cannot "Request Tracker is started as root only"
install_packages
watch_owner
PGBIN=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
[ -x "$PGBIN/initdb" ] || cannot "no PostgreSQL beside request-tracker5"
id postgres >/dev/null 2>&1 || useradd -r -M postgres
as_postgres() { (cd / && setpriv --reuid postgres --regid postgres --clear-groups "$@"); }

if [ ! -f "$DIR/pg/PG_VERSION" ]; then
  install -d -o postgres -g postgres -m 700 "$DIR/pg"
  as_postgres "$PGBIN/initdb" -D "$DIR/pg" -U postgres -A trust -E UTF8 --locale=C.UTF-8 >"$DIR/run/initdb.log" 2>&1
  cat >>"$DIR/pg/postgresql.conf" <<EOC
listen_addresses = '127.0.0.1'
port = $PGPORT
unix_socket_directories = '$DIR/pg'
fsync = off
EOC
fi
if ! { [ -f "$DIR/pg/postmaster.pid" ] && kill -0 "$(head -1 "$DIR/pg/postmaster.pid")" 2>/dev/null; }; then
  as_postgres "$PGBIN/pg_ctl" -D "$DIR/pg" -l "$DIR/pg/log" -w start >/dev/null
fi

cat >"$DIR/etc/RT_SiteConfig.pm" <<EOC
Set(\$rtname, 'desk.example');
Set(\$Organization, 'desk.example');
Set(\$WebDomain, '127.0.0.1');
Set(\$WebPort, $PORT);
Set(\$WebPath, '');
Set(\$CanonicalizeRedirectURLs, 1);
Set(\$DatabaseType, 'Pg');
Set(\$DatabaseHost, '127.0.0.1');
Set(\$DatabasePort, '$PGPORT');
Set(\$DatabaseUser, 'rtuser');
Set(\$DatabasePassword, 'rt-db-pass');
Set(\$DatabaseName, 'rtdb');
Set(\$DatabaseAdmin, 'postgres');
Set(\$MailCommand, 'testfile');
Set(\$LogToSyslog, undef);
Set(\$LogToSTDERR, 'warning');
Set(\$Timezone, 'UTC');
Set(\$WebSecureCookies, 0);
Set(\$BcryptCost, ${RT_BCRYPT_COST:-4});
1;
EOC
export RT_SITE_CONFIG=$DIR/etc/RT_SiteConfig.pm RT_SITE_CONFIG_DIR=$DIR/etc/conf.d
if [ ! -f "$DIR/run/db.done" ]; then
  echo 'rt-root-pass-1' >"$DIR/run/rootpass"
  rt-setup-database-5 --action init --dba postgres --dba-password x --root-password-file "$DIR/run/rootpass" \
    </dev/null >"$DIR/run/setup.log" 2>&1
  rt-setup-database-5 --action insert --datafile "$HERE/setup.initialdata" --dba postgres --dba-password x \
    </dev/null >"$DIR/run/insert.log" 2>&1
  perl "$HERE/mktoken.pl" itsm-bridge >"$DIR/token" 2>"$DIR/run/token.log"
  touch "$DIR/run/db.done"
fi

if [ -f "$DIR/run/rt.pid" ] && kill -0 "$(cat "$DIR/run/rt.pid")" 2>/dev/null; then
  echo "already up on $PORT"
  exit 0
fi
export RT_WEBHOOK_URL=${RT_WEBHOOK_URL:-} RT_WEBHOOK_SECRET=${RT_WEBHOOK_SECRET:-}
cd /
setsid setpriv --reuid www-data --regid www-data --clear-groups \
  /usr/share/request-tracker5/libexec/rt-server --host 127.0.0.1 --port "$PORT" --max-workers "${RT_WORKERS:-4}" \
  >"$DIR/run/rt.log" 2>&1 </dev/null &
echo $! >"$DIR/run/rt.pid"
for _ in $(seq 150); do
  if curl -fs -o /dev/null -H "Authorization: token $(cat "$DIR/token")" "http://127.0.0.1:$PORT/REST/2.0/rt"; then
    echo "up on $PORT"
    exit 0
  fi
  kill -0 "$(cat "$DIR/run/rt.pid")" 2>/dev/null || break
  sleep 0.2
done
echo "Request Tracker did not come up:"
tail -5 "$DIR/run/rt.log"
exit 1
