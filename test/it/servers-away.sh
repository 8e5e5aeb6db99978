#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# With every server gone: operations wait, can be interrupted, and umount -f ends in bounded time.
. "$(dirname "$0")/lib.sh"
it_begin
it_up
echo text >"$M/f"
head -c 3000000 /dev/urandom >"$T/data"
cp "$T/data" "$M/data"

stop_servers() { for d in $(daemons); do [ "$d" = mount ] || kill -STOP "$(pid_of "$d")"; done; }
cont_servers() { for d in $(daemons); do [ "$d" = mount ] || kill -CONT "$(pid_of "$d")"; done; }

step "stopped servers: operations wait, then go on"
stop_servers
cat "$M/f" >"$T/out" &
reader=$!
sh -c "echo new > '$M/g'" &
writer=$!
sleep 1
kill -0 $reader
kill -0 $writer
cont_servers
wait $reader
wait $writer
is "$(cat "$T/out")" text "what the reader got"
is "$(cat "$M/g")" new "what the writer wrote"

step "a waiting process can be killed"
stop_servers
cat "$M/f" >/dev/null &
reader=$!
sleep 0.5
kill -KILL $reader
t0=$(date +%s%N)
wait $reader || true
[ $((($(date +%s%N) - t0) / 1000000)) -lt 5000 ] || fail "a killed process stayed for seconds"
cont_servers
cmp "$T/data" "$M/data"

step "umount -f with the servers stopped"
mount_pid=$(pid_of mount)
stop_servers
cat "$M/data" >/dev/null 2>&1 &
reader=$!
sleep 0.5
t0=$(date +%s%N)
timeout -k 5 40 "$WEFT" umount --dir "$D" --force "$M" || fail "weft umount --force ended with status $?"
wait $reader || true
ms=$((($(date +%s%N) - t0) / 1000000))
say "umount --force took $ms ms"
[ $ms -lt 15000 ] || fail "umount --force took $ms ms"
! mountpoint -q "$M"
eventually 15 gone "$mount_pid"
cont_servers

step "mount again"
eventually 60 "$WEFT" up --dir "$D"
cmp "$T/data" "$M/data"

step "umount -f with the servers dead"
for d in $(daemons); do [ "$d" = mount ] || kill_daemon "$d"; done
ls "$M" >/dev/null 2>&1 &
t0=$(date +%s%N)
sleep 0.5
timeout -k 5 40 umount -f "$M" || timeout -k 5 40 umount -l "$M"
wait %% || true
ms=$((($(date +%s%N) - t0) / 1000000))
[ $ms -lt 15000 ] || fail "umount -f took $ms ms"
it_again
cmp "$T/data" "$M/data"
it_end
