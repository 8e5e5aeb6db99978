#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# fio writes and verifies by checksums: with read and write, asynchronous direct I/O, mappings; several jobs in one file.
. "$(dirname "$0")/../it/lib.sh"
it_begin
need fio
it_up

job() { # name, options...
	step "$1"
	rm -rf "$M/fio"
	mkdir "$M/fio"
	(cd "$T" && timeout -k 5 50 fio --name="$1" --directory="$M/fio" --minimal --verify=crc32c --verify_fatal=1 --verify_state_save=0 \
		"${@:2}") >"$T/fio.out" 2>&1 || { cat "$T/fio.out"; fail "fio"; }
}

job psync-random --ioengine=psync --rw=randwrite --bs=4k --size=16m --numjobs=2 --fsync=64
job psync-mixed-sizes --ioengine=psync --rw=randrw --bsrange=512-256k --size=48m --numjobs=2
job psync-sequential --ioengine=psync --rw=write --bs=1m --size=96m --numjobs=2 --end_fsync=1
job libaio-direct --ioengine=libaio --direct=1 --iodepth=16 --rw=randwrite --bs=4k --size=16m --numjobs=2
job libaio-large --ioengine=libaio --direct=1 --iodepth=8 --rw=write --bs=256k --size=64m
job mmap --ioengine=mmap --rw=randwrite --bs=4k --size=16m
job vectors --ioengine=pvsync2 --rw=randwrite --bs=12k --size=16m --numjobs=2
job dsync --ioengine=psync --sync=dsync --rw=randwrite --bs=4k --size=1m
job one-file --ioengine=psync --rw=write --bs=47008 --size=9401600 --numjobs=2 --offset_increment=9401600 --filename=shared
it_end
