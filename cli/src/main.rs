// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The program `dmns-audit`.

fn main() {}
