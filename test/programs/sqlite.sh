#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# SQLite in each of its journal modes, several processes, integrity checked; also after the servers were killed in between.
. "$(dirname "$0")/../it/lib.sh"
it_begin
need sqlite3
it_up

for mode in delete truncate persist wal; do
	step "journal mode $mode"
	db=$M/$mode.db
	is "$(sqlite3 "$db" "pragma journal_mode=$mode; create table t(id integer primary key, who int, x text);")" $mode "journal mode"
	writers=()
	for w in 1 2 3; do
		(for i in $(seq 15); do
			sqlite3 -cmd '.timeout 60000' "$db" "begin immediate; insert into t(who, x) values ($w, hex(randomblob(2000))); insert into t(who, x) values ($w, '$i'); commit;" || exit 1
		done) &
		writers+=($!)
	done
	for p in "${writers[@]}"; do wait "$p"; done
	is "$(sqlite3 "$db" 'pragma integrity_check')" ok "integrity"
	is "$(sqlite3 "$db" 'select count(*) from t')" 90 "rows"
	sqlite3 "$db" "begin; with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) insert into t(who, x) select i, 'row ' || i from n; commit; create index tx on t(x); delete from t where id % 3 = 0; vacuum;"
	is "$(sqlite3 "$db" 'pragma integrity_check')" ok "integrity after a large transaction"
done

step "servers die in between"
(for i in $(seq 40); do sqlite3 -cmd '.timeout 60000' "$M/delete.db" "insert into t(who, x) values (99, '$i');" || exit 1; done) &
writer=$!
for d in storage1 meta0 storage2 meta1; do
	sleep 0.3
	kill_daemon $d
	it_again
done
wait $writer || fail "a transaction failed while servers were restarted"
is "$(sqlite3 "$M/delete.db" 'select count(*) from t where who = 99')" 40 "rows written meanwhile"
is "$(sqlite3 "$M/delete.db" 'pragma integrity_check')" ok "integrity"
cp "$M/delete.db" "$T/copy.db"
is "$(sqlite3 "$T/copy.db" 'pragma integrity_check')" ok "integrity of a copy"
it_end
