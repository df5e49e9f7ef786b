#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# words.sh [--count] - finds words that this project does not use: in documents, doc comments, help texts, the C of the
# module, the titles and reasons of scenarios, and comments of scripts. Prints file, line, word and what to write instead;
# fails where there is one. --count prints how many each folder has. A line with `words: allow` is not looked at; in
# Markdown, nor is the block of code that follows it. Text in backquotes is a name, and is left alone.
case ${1:-} in
"" | --count) ;;
*)
	echo "usage: words.sh [--count]" >&2
	exit 2
	;;
esac
cd "$(dirname "$0")/.." || exit

# The words themselves are in this file; patches quote the kernel.
files=$(git ls-files --cached --others --exclude-standard -- '*.md' '*.rs' 'kmod/*.[chS]' 'userspace-test/*.toml' \
	'userspace-test/guest' 'scripts/*.sh' ':!LICENSES' ':!scripts/words.sh') || exit
existing=
for file in $files; do
	[ ! -e "$file" ] || existing="$existing $file"
done

# shellcheck disable=SC2086 # One argument a file.
exec awk -v count="${1:-}" '
BEGIN {
	better["told"] = "reported, printed, or named"
	better["tell"] = better["tells"] = "report, print, distinguish, or name"
	better["befell"] = better["befall"] = better["befalls"] = "happen to, affect"
	better["whose"] = "with its, of which, or the noun and its owner"
	better["beneath"] = "below, lower"
	better["beside"] = "next to, with, in addition to"
	better["lives"] = better["lived"] = "is active, exists, is in; lifetimes"
	better["dies"] = better["died"] = "ends, fails, exits"
	better["obey"] = better["obeys"] = "follow, apply"
	better["what is over"] = "the excess"
	better["goes on"] = "continues"
	better["who was"] = "a noun: the task that, the user who"
	for (word in better)
		words = words (words == "" ? "" : "|") word
	# Word characters on either side: part of another word, of a name with a hyphen, or of a path.
	pattern = "(^|[^a-z0-9_-])(" words ")($|[^a-z0-9_-])"
}

FNR == 1 {
	kind = FILENAME ~ /\.md$/ ? "document" : FILENAME ~ /\.rs$/ ? "rust" : FILENAME ~ /\.toml$/ ? "scenario" : \
		FILENAME ~ /\.[chS]$/ ? "c" : "script"
	fence = comment = help = allowed = why = 0
	before = ""
}

# The text of a line that is looked at: prose of a document, a doc comment, a help text, a comment of C or of a script,
# the titles of a scenario and its reason.
function prose(line,    text, at) {
	if (kind == "document") {
		if (line ~ /^ *```/) {
			fence = !fence
			if (fence)
				allowed = before ~ /words: allow/
			else
				allowed = 0
		}
		# A block that is indented quotes a log.
		return allowed || !fence && line ~ /^    / && FILENAME ~ /^docs\/upstream\// ? "" : line
	}
	if (kind == "rust") {
		if (line ~ /^ *\/\/[\/!]/)
			return line
		if (line ~ /(about|help) *= *("|$)/)
			help = 1
		if (help) {
			if (line ~ /"[]),]*$/)
				help = 0
			return line
		}
		return ""
	}
	if (kind == "scenario") {
		if (line ~ /^why = \"\"\"/)
			return why = 1
		if (why && line ~ /^\"\"\"/)
			why = 0
		return why || line ~ /^title = / ? line : line ~ /^ *# / ? line : ""
	}
	if (kind == "script")
		return line ~ /^[ \t]*# / ? line : ""
	text = ""
	if (!comment && (at = index(line, "//")))
		return substr(line, at)
	if (!comment && (at = index(line, "/*"))) {
		comment = 1
		line = substr(line, at)
	}
	if (comment) {
		text = line
		if (at = index(line, "*/")) {
			text = substr(line, 1, at)
			comment = 0
		}
	}
	return text
}

{
	text = prose($0)
	if ($0 !~ /^ *$/)
		before = $0
	if (text == "" || text ~ /words: allow/)
		next
	gsub(/`[^`]*`/, "`", text)
	text = tolower(text)
	while (match(text, pattern)) {
		word = substr(text, RSTART, RLENGTH)
		text = substr(text, RSTART + RLENGTH - 1)
		sub(/^[^a-z]/, "", word)
		sub(/[^a-z]$/, "", word)
		found++
		if (count != "") {
			folder = FILENAME
			if (!sub(/\/[^\/]*$/, "", folder))
				folder = "."
			folders[folder]++
		} else
			printf "%s:%d: \"%s\": write %s\n", FILENAME, FNR, word, better[word]
	}
}

END {
	for (folder in folders)
		printf "%5d %s\n", folders[folder], folder | "sort -k 2"
	close("sort -k 2")
	if (count != "")
		printf "%5d in all\n", found
	exit count == "" && found > 0
}' $existing
