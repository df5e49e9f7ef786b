#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# hooks.sh KDIR - prints the functions of kmod/hooks.rs that the module attaches to, with what the kernel of KDIR has of
# each: found, by which name where there are several, or not. Exit status: 1 if one is not there, or has a name that several
# have: the kernel looks up the first.
#
# Symbols come from what KDIR has: System.map and modules of a built tree, else Module.symvers and the names in vmlinux's
# BTF, which a prepared tree or a headers package has.
. "$(dirname "$0")/../common.sh"
exec >&3

kdir=$1
[ -e "$kdir/.config" ] || die "$kdir/.config: not there; give a kernel's build tree"
table=$PROJECT/kmod/hooks.rs
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# FUNCTION, and its owner: vmlinux, or dm_mod.
symbols() {
	if [ -e "$kdir/System.map" ]; then
		sources=System.map
		awk '$2 ~ /^[tTwW]$/ { print $3, "vmlinux" }' "$kdir/System.map"
	elif [ -e "$kdir/vmlinux" ]; then
		sources="the BTF of vmlinux"
		tr '\0' '\n' <"$kdir/vmlinux" | grep -axE '[a-zA-Z_][a-zA-Z0-9_.]*' | sort -u | sed 's/$/ vmlinux/'
	else
		sources=
	fi
	if grep -q '^CONFIG_BLK_DEV_DM=m' "$kdir/.config"; then
		if [ -e "$kdir/drivers/md/dm-mod.ko" ]; then
			sources="$sources${sources:+, }dm-mod.ko"
			nm "$kdir/drivers/md/dm-mod.ko" | awk '$2 ~ /^[tTwW]$/ { print $3, "dm_mod" }'
		else
			sources="$sources${sources:+, }Module.symvers"
			awk '$3 == "drivers/md/dm-mod" { print $2, "dm_mod" }' "$kdir/Module.symvers"
		fi
		echo m >"$work/dm"
	fi
	echo "$sources" >"$work/sources"
}
symbols | sort | uniq -c >"$work/symbols"

release=$(cat "$kdir/include/config/kernel.release" 2>/dev/null || echo "$kdir")
sources=$(cat "$work/sources")
printf 'functions that the module attaches to in %s (%s):\n' "$release" \
	"${sources:-no System.map and no vmlinux: build the kernel, and they are looked for}"
audit=y
grep -q '^CONFIG_DM_AUDIT=y' "$kdir/.config" || audit=
awk -v dm="$(cat "$work/dm" 2>/dev/null)" -v audit="$audit" '
	# A symbol that has the name in its own.
	function like(name, i) {
		sub(/^_+/, "", name)
		for (i = 1; i <= count; i++)
			if (index(names[i], name) && names[i] !~ /^__(pfx|cfi)_/)
				return names[i]
	}
	function row(state, name, note) {
		printf "  %-9s %-28s %s%s\n", state, name, file, note
	}
	FILENAME == ARGV[1] { has[$2, $3] = $1; owner[$3] = 1; names[++count] = $2; next }
	/^ *\/\/ C: / { file = $NF }
	!/hook\(/ || /^ *(const|pub|fn|\/\/)/ { next }
	{
		# All names of the row: the first that the kernel has serves.
		rest = $0
		found = missing = omitted = ""
		while (match(rest, /(c|dm_mod!\()"[^"]+"/)) {
			name = substr(rest, RSTART, RLENGTH)
			rest = substr(rest, RSTART + RLENGTH)
			in_dm = name ~ /^dm_mod/ && dm == "m"
			omitted = name ~ /^dm_mod/ && !audit
			gsub(/^[^"]*"|"$/, "", name)
			from = in_dm ? "dm_mod" : "vmlinux"
			first = missing == "" && found == "" ? name : first
			if (found == "" && (name, from) in has) {
				found = name
				several = has[name, from] > 1 ? has[name, from] : 0
			}
			else if (found == "")
				missing = missing (missing == "" ? "" : ", ") name
			if (!(from in owner))
				unknown = 1
		}
		if (first == "")
			next
		rows++
		if (omitted)
			row("not built", first, ": CONFIG_DM_AUDIT is not set")
		else if (found != "" && several) {
			row("AMBIGUOUS", found, ": " several " functions have this name, and the kernel looks up the first")
			lacks = 1
		} else if (found != "")
			row("found", found, missing == "" ? "" : ", in place of " missing)
		else if (unknown)
			row("unknown", first, "")
		else {
			close_to = like(first)
			row("NOT FOUND", missing, close_to == "" ? "" : ": is it " close_to " now? Only a function of exactly this name can be attached to")
			lacks = 1
		}
		first = ""
		unknown = 0
	}
	END {
		if (!rows) {
			print "no row was understood: the form of the table has changed"
			exit 1
		}
		exit lacks
	}' "$work/symbols" "$table"
