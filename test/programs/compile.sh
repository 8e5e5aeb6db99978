#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# A C project is configured and compiled on the mount, with make -j2; what comes out runs from there.
. "$(dirname "$0")/../it/lib.sh"
it_begin
need make
cc=$(command -v cc || command -v gcc) || skip "no compiler"
it_up

step "a project"
mkdir "$M/p"
cd "$M/p"
for i in $(seq 40); do
	printf '#include <stdio.h>\n#include "all.h"\nint f%d(int x) { char b[64]; return snprintf(b, sizeof(b), "%%d", x + %d) + f%d(x); }\n' \
		"$i" "$i" $((i - 1)) >"f$i.c"
done
{ for i in $(seq 0 40); do echo "int f$i(int);"; done; } >all.h
printf '#include <stdio.h>\n#include "all.h"\nint f0(int x) { return x; }\nint main(void) { printf("%%d\\n", f40(1000)); return 0; }\n' >main.c
{
	printf 'CC = %s\nOBJS = %s\n' "$cc" "$(seq -f 'f%g.o' -s ' ' 40)"
	printf 'prog: libf.a main.o\n\t$(CC) -o $@ main.o libf.a\n'
	printf 'libf.a: $(OBJS)\n\tar rcs $@ $^\n'
	printf '%%.o: %%.c all.h\n\t$(CC) -O1 -g -c -o $@ $<\n'
} >Makefile

step "make -j2"
make -s -j2
is "$(./prog)" 1160 "what the program prints"

step "make again, nothing to do"
make -q || fail "make thinks that something is out of date"
touch f7.c
is "$(make -n | grep -c -- '-c -o')" 1 "files compiled again"
make -s -j2
is "$(./prog)" 1160 "what the program prints"
strip prog
is "$(./prog)" 1160 "what the stripped program prints"
# A program that runs cannot be written.
cp /bin/sleep ./sleeper
./sleeper 30 &
sleeper=$!
sleep 0.2
if (echo x >>./sleeper) 2>/dev/null; then say "a running program could be written to"; fi
kill $sleeper
wait $sleeper 2>/dev/null || true
cd /
it_end
