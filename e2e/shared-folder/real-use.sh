# What people's programs do with files. Prints what follows from it, and nothing that depends on the time or the place.
# Usage: bash real-use.sh FOLDER PACKAGES USE...: in an empty folder, with that many packages in a tree as npm makes one.
export PATH=/usr/bin:/bin HOME=/nowhere LC_ALL=C TZ=UTC GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/nowhere
export GIT_AUTHOR_NAME=Somebody GIT_AUTHOR_EMAIL=somebody@example.org GIT_AUTHOR_DATE='2020-01-01T00:00:00Z'
export GIT_COMMITTER_NAME=Somebody GIT_COMMITTER_EMAIL=somebody@example.org GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
umask 022
exec 2>&1

tree() {
  mkdir tree && perl -e '
    chdir "tree";
    sub put { my ($path, $text, $mode) = @_; open my $f, ">", $path or die "$path: $!"; print $f $text; close $f or die; chmod $mode, $path }
    mkdir $_ for "node_modules", "node_modules/.bin";
    for my $i (1 .. $ARGV[0]) {
      my $p = "node_modules/package-$i";
      mkdir $_ for "$p.unpacking", "$p.unpacking/lib", "$p.unpacking/node_modules", "$p.unpacking/node_modules/inner";
      put("$p.unpacking/package.json", qq({"name": "package-$i"}\n), 0644);
      put("$p.unpacking/cli.js", "#!/usr/bin/env node\n" . "//$i\n" x ($i * 37), 0755);
      put("$p.unpacking/lib/$_.js", "exports.n = $_ * $i;\n" x $_, 0644) for 1 .. 4;
      put("$p.unpacking/node_modules/inner/index.js", "inner of $i", 0600);
      rename "$p.unpacking", $p or die;
      symlink "../package-$i/cli.js", "node_modules/.bin/package-$i" or die;
    }' "$1"
  find tree | wc -l
  ln tree/node_modules/package-1/cli.js tree/linked
  ln -s nowhere tree/dangling
  truncate -s 3M tree/sparse && printf end >>tree/sparse
  setfattr -n user.note -v 'a note' tree/linked
  setfacl -m u:1000:rw-,g:1001:r-- tree/linked
  setfacl -d -m u:1000:rwx tree/node_modules/.bin
  getfacl -pn tree/linked tree/node_modules/.bin
  cat tree/node_modules/.bin/package-2 | cksum
  du -k tree/sparse | cut -f1
  # Linux 6.1 sets times in whole seconds by 9P.
  find tree -exec touch -h -d @1600000000 {} +
}

archive() {
  ALL="--acls --xattrs --xattrs-include=*"
  tar $ALL --sparse -cf tree.tar tree && mkdir untar && tar $ALL -xpf tree.tar -C untar && tar $ALL -df tree.tar -C untar
  diff -r --no-dereference tree untar/tree && echo same
}

mirror() {
  rsync -aHAX tree/ copy/ && diff -r --no-dereference tree copy
  rm -r copy/node_modules/package-2 && echo more >>copy/linked && mv copy/sparse copy/other
  rsync -aHAX --delete --inplace tree/ copy/ && rsync -naHAXci --delete tree/ copy/
  stat -c '%h %n' copy/linked; getfattr --only-values -n user.note copy/linked; echo
}

versions() {
  git init -q -b main repository && cp -a tree repository/ && cd repository && git add -A && git commit -qm first
  git mv tree/node_modules/package-1 tree/moved && echo changed >>tree/sparse && git commit -qam second
  git checkout -q -b other HEAD~1 && echo other >tree/other && git add -A && git commit -qm other && git merge -q --no-edit main
  git -c pack.threads=1 gc -q --prune=now && cd ..
  git clone -q --no-local repository clone
  for each in repository clone; do
    git -c core.commitGraph=false -C $each fsck --full --strict --no-progress && git -C $each status --porcelain
    git -C $each rev-parse HEAD 'HEAD^{tree}'
  done
}

database() {
  sqlite3 database 'pragma journal_mode=wal; create table t(who, n unique); create index i on t(who);'
  for who in 1 2; do
    for n in $(seq 20); do echo "insert into t values ($who, $who * 1000 + $n); update t set n = n + 100000 where n = $who * 1000 + $n;"; done |
      sqlite3 -cmd '.timeout 60000' database &
  done
  wait
  sqlite3 database 'pragma integrity_check; select who, count(*), sum(n) from t group by who'
  ls database*
}

cd "$1" && tree "$2" || exit
for use in "${@:3}"; do echo "== $use"; $use; done
