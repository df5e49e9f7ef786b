#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# guest-packages.sh ROOT KERNEL [PACKAGE...] - makes the disk of a guest that runs systemd and has our own packages, installed
# as apt does it, and PACKAGE... . DKMS builds the module for the guest's kernel, and for a second one when that comes.
# Prints its path. In the guest, /srv/next has the packages of a next version.
. "$(dirname "$0")/../common.sh"

root=$1 kernel=$2
shift 2
[ -e "$kernel/release" ] || die "$kernel is no kernel: run scripts/build/kernel.sh"
release=$(cat "$kernel/release") version=$(cat "$kernel/package")

# As in the usual image; systemd runs them, promtool judges metrics, and logrotate rotates the log of the plugin.
PACKAGES="auditd cryptsetup-bin dbus dmsetup iproute2 kmod logrotate procps promtool systemd-sysv udev util-linux"
for package in "$@"; do
	PACKAGES="$PACKAGES $package"
done

is=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$PROJECT/Cargo.toml")
next=${is%.*}.$((${is##*.} + 1))
# Another series that Debian has with Rust, if there is one.
series=$(echo "$release" | cut -d. -f1,2)
second=$("$PROJECT/scripts/in-root.sh" "$root" apt-cache search --names-only '^linux-headers-[0-9.]+[+]deb[0-9]+-amd64$' |
	sed -n 's/^linux-headers-\([^ ]*\) .*/\1/p' | grep -v -e "^$series" -e '^6[.]' | sort -rV | head -n 1)

cd "$PROJECT"
# What the packages of the tool and of the module are made of.
sources=$(git ls-files --cached --others --exclude-standard Cargo.toml Cargo.lock */Cargo.toml cli/src auditlog/src layout/src \
	recorder/src contrib tools kmod uapi debian scripts/common.sh \
	scripts/build/check-kdir.sh scripts/build/dkms.sh scripts/build/packages.sh scripts/build/uts-version.sh)
kept=$CACHE/guest/dkms-$(echo "$release $version $second" | hash - scripts/build/dkms.sh)
image=$CACHE/guest/packages-$release-$( (echo "$PACKAGES $second" && cat $sources) | hash - "$0").erofs
if [ ! -e "$image" ]; then
	check_packages "$root" "$@"
	"$PROJECT/scripts/build/host-tools.sh"
	export DEB_BUILD_OPTIONS=noopt
	packages=$("$PROJECT/scripts/build/packages.sh")
	next=$("$PROJECT/scripts/build/packages.sh" "$next")
	mkdir -p "$CACHE/guest"
	as_root rm -rf "$image".*
	mkdir -p "$image.added/next" "$image.added/this"
	from=$kept then=true
	if [ ! -d "$kept" ]; then
		fresh "$kept"
		from=$kept.partial then="sync-out /var/lib/dmns-audit/kernel '$kept.partial'"
	fi
	cp "$packages"/dmns-audit*.deb "$image.added/this"
	cp "$next"/dmns-audit_*.deb "$next"/dmns-audit-dkms_*.deb "$image.added/next"
	cat >"$image.added/install" <<-'END'
		set -eux
		release=$1 version=$2 second=$3
		# kept RELEASE - its source as DKMS prepared it when an image was made before, which DKMS takes if it fits.
		kept() {
			mkdir -p /var/lib/dmns-audit/kernel
			[ ! -d "/srv/kept/$1" ] || mv "/srv/kept/$1" /var/lib/dmns-audit/kernel
		}
		export DEBIAN_FRONTEND=noninteractive
		install="apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io"
		# binary RELEASE VERSION - the package with the image alone; of a new series, there may be the unsigned one only.
		binary() {
			apt-cache madison "linux-binary-$1" "linux-binary-unsigned-$1" |
				awk -F ' *[|] *' -v version="$2" '$2 == version { sub("^ *", "", $1); print $1 "=" version; exit }'
		}
		# The kernel as it is installed, but for what starts it. What is recommended has to be named here.
		$install "linux-modules-$release=$version" "$(binary "$release" "$version")" "linux-headers-$release=$version" \
			libelf-dev libssl-dev "linux-source-$(echo "$release" | cut -d. -f1,2)=$version"
		kept "$release"
		$install /srv/this/dmns-audit_*.deb /srv/this/dmns-audit-dkms_*.deb
		dkms status -k "$release" | grep -q ': installed'
		if [ -n "$second" ]; then
			kept "$second"
			# dpkg has the module built when the headers come.
			of=$(apt-cache madison "linux-headers-$second" | awk -F ' *[|] *' 'NR == 1 { print $2 }')
			$install "$(binary "$second" "$of")" "linux-source-$(echo "$second" | cut -d. -f1,2)=$of" "linux-modules-$second" \
				"linux-headers-$second"
			dkms status -k "$second" | grep -q ': installed'
		fi
		# Debian has journald leave audit's records alone.
		systemctl enable systemd-journald-audit.socket
		rm -rf /srv/this /srv/kept
		# The sources are prepared, and kept.
		rm -f /usr/src/linux-source-*.tar.xz
	END
	mv "$image.added/install" "$image.added/this/install"
	bootstrap --include="$(echo $PACKAGES | tr ' ' ,)" \
		--customize-hook="sync-in '$image.added' /srv" \
		--customize-hook='mkdir "$1/srv/kept"' \
		--customize-hook="sync-in '$from' /srv/kept" \
		--customize-hook="chroot \"\$1\" sh /srv/this/install '$release' '$version' '$second'" \
		--customize-hook="$then" \
		--customize-hook='chroot "$1" dpkg-query -W >"$1/packages"' \
		--customize-hook="download /packages '${image%.erofs}.packages'" \
		--customize-hook='rm -rf "$1/var/cache"/*; mkdir -p "$1/mnt/share"' \
		--format=tar "" "$image.tar"
	[ "$then" = true ] || keep "$kept"
	"$PROJECT/scripts/in-root.sh" "$root" mkfs.erofs --quiet --tar=f "$image.partial" "$image.tar"
	as_root rm -r "$image.tar" "$image.added"
	mv "$image.partial" "$image"
fi
result "$image"
