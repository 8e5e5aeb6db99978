#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# git: commits, clones, branches, merges, packs; fsck is content.
. "$(dirname "$0")/../it/lib.sh"
it_begin
need git
it_up
export GIT_AUTHOR_NAME=Test GIT_AUTHOR_EMAIL=test@localhost GIT_COMMITTER_NAME=Test GIT_COMMITTER_EMAIL=test@localhost
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null

step "a repository"
git init -q -b main "$M/repo"
cd "$M/repo"
cp -r "$IT_ROOT/src" "$IT_ROOT/test" .
git add -A
git commit -qm first
for i in $(seq 15); do
	echo "line $i" >>log
	echo "$i" >"file$i"
	git add -A
	git commit -qm "change $i"
done
git checkout -qb side HEAD~5
echo side >side
git add side
git commit -qm side
git checkout -q main
git merge -q -m merged side
is "$(git status --porcelain)" "" "git status"
git fsck --full --strict 2>&1 | tee "$T/fsck"

step "clone, gc"
git clone -q --no-hardlinks "$M/repo" "$M/clone"
git clone -q "$M/repo" "$T/local"
diff -r --exclude=.git "$M/repo" "$M/clone"
diff -r --exclude=.git "$M/repo" "$T/local"
git -c gc.auto=0 gc -q --aggressive --prune=now
git fsck --full
cd "$M/clone"
echo more >>log
git commit -qam more
git push -q origin HEAD:pushed
is "$(git -C "$M/repo" log -1 --format=%s pushed)" more "subject of the pushed commit"
git worktree add -q "$M/worktree" HEAD~3
git -C "$M/worktree" status --porcelain
cd "$M/repo"
git stash list
git grep -q weft
cd /
rm -rf "$M/repo" "$M/clone" "$M/worktree"
it_end
