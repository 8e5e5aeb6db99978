#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# PostgreSQL keeps a database on the mount, with fsync and checksums: pgbench, a hard stop, recovery, amcheck.
. "$(dirname "$0")/../it/lib.sh"
it_begin
bin=none
for b in /usr/lib/postgresql/*/bin /usr/bin; do
	[ -x "$b/initdb" ] && bin=$b
done
[ -x "$bin/initdb" ] && [ -x "$bin/pgbench" ] || skip "PostgreSQL is not installed"
id postgres >/dev/null 2>&1 || skip "no user postgres"
it_up
mkdir "$M/pg" "$T/run"
chown postgres: "$M/pg" "$T/run"
chmod 700 "$M/pg"
as_pg() { (cd "$T/run" && setpriv --reuid postgres --regid postgres --init-groups env HOME="$T/run" PGHOST="$T/run" PGDATABASE=postgres PATH="$bin:$PATH" "$@"); }

step "initdb"
as_pg initdb -D "$M/pg" --data-checksums -A trust >"$T/initdb.out"
cat >>"$M/pg/postgresql.conf" <<-END
	listen_addresses = ''
	unix_socket_directories = '$T/run'
	shared_buffers = 32MB
	fsync = on
END
start() { as_pg pg_ctl -D "$M/pg" -w -t 60 -l "$T/run/postgres.log" start >/dev/null || { tail -20 "$T/run/postgres.log"; fail "start"; }; }
stop() { as_pg pg_ctl -D "$M/pg" -w -t 60 -m "$1" stop >/dev/null; }
start

step "pgbench"
as_pg pgbench -q -i -s 2 >/dev/null 2>&1
as_pg pgbench -c 4 -j 2 -T 8 -n >"$T/pgbench.out"
grep -E 'tps|number of failed' "$T/pgbench.out"
[ "$(as_pg psql -Atc 'select sum(abalance) from pgbench_accounts')" = "$(as_pg psql -Atc 'select sum(bbalance) from pgbench_branches')" ] ||
	fail "the balances do not agree"

step "a hard stop and recovery"
as_pg psql -Atqc 'create table kept as select generate_series(1, 10000) as i; checkpoint; insert into kept select generate_series(10001, 12000)'
stop immediate
start
is "$(as_pg psql -Atc 'select count(*) from kept')" 12000 "rows after recovery"
as_pg pg_amcheck -a --install-missing >/dev/null 2>&1 || say "pg_amcheck was not content (or is not there)"
as_pg vacuumdb -qaf
stop fast
as_pg pg_checksums --check -D "$M/pg" | grep -q 'Bad checksums:  0' || fail "checksums"
it_end
