#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# guest-arm64.sh ROOT [IMAGE [PACKAGE...]] - makes the disk of an arm64 guest out of that of an amd64 guest (guest.sh). Prints its path.
#
# What the packages' scripts set up is the same: accounts, alternatives, configuration. All programs and libraries are
# replaced by those of the same packages, in the same versions, for arm64. So nothing of arm64 runs here, and this
# machine needs no emulation of programs (binfmt_misc), which would be for all its users.
. "$(dirname "$0")/../common.sh"

root=$1
amd64=$(DMNS_ARCH=amd64 "$PROJECT/scripts/build/guest.sh" "$@")
image=${amd64%.erofs}-arm64-$(hash "$0").erofs
if [ ! -e "$image" ]; then
	fresh "$image"
	"$PROJECT/scripts/in-root.sh" "$root" sh -eu -c '
		amd64=$1 work=$2
		tree=$work/tree
		fsck.erofs --extract="$tree" --preserve "$amd64" >/dev/null
		cd "$tree"
		find . -xdev -type f -size +4c -print0 |
			perl -0 -ne "chomp; open F, q(<), \$_ or die; read F, \$b, 4; print qq(\$_\0) if \$b eq qq(\x7fELF)" |
			xargs -0 rm -f
		rm -rf usr/lib/x86_64-linux-gnu usr/lib64 etc/ld.so.cache
		awk "/^Package:/ { name = \$2 } /^Architecture:/ { arch = \$2 }
			/^Version:/ { if (arch == \"amd64\") print name, \$2 }" var/lib/dpkg/status >"$work/installed"
		# A rebuild for one architecture has a version that ends in +b1, +b2, a compiler for another one in cross1.
		apt-cache madison $(sed "s/ .*/:arm64/" "$work/installed") | awk -F " *[|] *" "
			NR == FNR { split(\$0, part, \" \"); sub(/([+]b|cross)[0-9]+\$/, \"\", part[2]); version[part[1] \":arm64\"] = part[2]; next }
			{ gsub(/ /, \"\", \$1); plain = \$2; sub(/([+]b|cross)[0-9]+\$/, \"\", plain) }
			plain == version[\$1] { print \$1 \"=\" \$2; delete version[\$1] }
			END { for (name in version) print name >\"/dev/stderr\" }" "$work/installed" - >"$work/wanted" 2>"$work/missing"
		[ ! -s "$work/missing" ] || echo "not for arm64 in this version: $(tr "\n" " " <"$work/missing")"
		mkdir "$work/debs"
		cd "$work/debs"
		apt-get -q -o APT::Sandbox::User=root download $(cat "$work/wanted")
		for deb in *.deb; do
			dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$tree" --keep-directory-symlink \
				--exclude=./usr/share/man --exclude=./usr/share/doc --exclude=./usr/share/locale
		done
		# dpkg installs others there.
		cd "$tree/var/lib/dpkg"
		sed -i "s/^Architecture: amd64\$/Architecture: arm64/" status
		for file in info/*:amd64.*; do
			mv "$file" "${file%%:amd64.*}:arm64.${file##*:amd64.}"
		done
		mkfs.erofs --quiet "$work/image" "$tree"
	' sh "$amd64" "$image.partial"
	mv "$image.partial/image" "$image"
	as_root rm -rf "$image.partial"
	cp "${amd64%.erofs}.packages" "${image%.erofs}.packages"
fi
result "$image"
