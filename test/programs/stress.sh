#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# The file-system stressors of stress-ng, each for a moment, with its own verification.
. "$(dirname "$0")/../it/lib.sh"
it_begin
need stress-ng
it_up
mkdir "$M/s"
known=$(stress-ng --stressors 2>/dev/null || true)

failed=""
run() { # stressor, options...
	case " $known " in *" $1 "*) ;; *) say "$1: not in this stress-ng"; return 0 ;; esac
	step "$1"
	rc=0
	timeout -k 5 40 stress-ng --temp-path "$M/s" --verify --oomable --timeout 4 --"$1" 2 "${@:2}" >"$T/stress.out" 2>&1 || rc=$?
	case $rc in
	0 | 4) ;; # 4: not implemented here
	*) grep -vE 'info:.*(setting|dispatching)' "$T/stress.out" | head -8; failed="$failed $1($rc)" ;;
	esac
	it_healthy
}

run access --access-ops 60
run chdir --chdir-ops 300
run chmod --chmod-ops 200
run chown --chown-ops 200
run copy-file --copy-file-ops 4 --copy-file-bytes 128m
run dentry --dentry-ops 400 --dentries 128
run dir --dir-ops 200 --dir-dirs 64
run dirdeep --dirdeep-ops 200 --dirdeep-inodes 200
run dirmany --dirmany-ops 200
run dup --dup-ops 50
run fallocate --fallocate-ops 20 --fallocate-bytes 4m
run fcntl --fcntl-ops 200
run fiemap --fiemap-ops 50 --fiemap-bytes 4m
run filename --filename-ops 200
run flock --flock-ops 200
run fpunch --fpunch-ops 30
run fstat --fstat-ops 200
run getdent --getdent-ops 200
run hdd --hdd-ops 30 --hdd-bytes 8m
run hdd --hdd-ops 30 --hdd-bytes 8m --hdd-opts direct,utimes
run io-uring --io-uring-ops 100
run iomix --iomix-ops 100 --iomix-bytes 4m
run link --link-ops 100
run locka --locka-ops 200
run lockf --lockf-ops 200
run lockofd --lockofd-ops 200
run mknod --mknod-ops 200
run open --open-ops 200
run readahead --readahead-ops 50 --readahead-bytes 4m
run rename --rename-ops 300
run seal --seal-ops 20
run seek --seek-ops 200 --seek-size 4m
run sendfile --sendfile-ops 30 --sendfile-size 4m
run splice --splice-ops 30
run symlink --symlink-ops 100
run sync-file --sync-file-ops 20 --sync-file-bytes 4m
run touch --touch-ops 300
run unlink --unlink-ops 20
run utime --utime-ops 300
run verity --verity-ops 10
run xattr --xattr-ops 30
[ -z "$failed" ] || fail "stressors failed:$failed"
it_end
