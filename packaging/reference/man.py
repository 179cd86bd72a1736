"""oxbow(1) and oxbow.toml(5) in the man macros of roff."""

import re

_NAME = "mirror of container registries with a ring of peers"


def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "")
    for plain, roff in (("…", "..."), ("→", "\\(->"), ("—", "\\(em")):
        text = text.replace(plain, roff)
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.M)


def _heading(title, section, version):
    return f'.TH {title} {section} "" "Oxbow {version}" "Oxbow"\n'


def _option(row):
    names = ", ".join(f"\\fB{escape(name)}\\fR" for name in row.names)
    value = f" \\fI{escape(row.value)}\\fR" if row.value else ""
    return f".TP\n{names}{value}\n{escape(row.text)}\n"


def _command(command):
    title = escape(" ".join(("oxbow", *command.path)))
    out = f".SS {title}\n{escape(command.about)}\n.PP\n\\fB{escape(command.usage)}\\fR\n"
    for row in command.positionals + [row for row in command.options if "--help" not in row.names]:
        out += _option(row)
    if command.footer:
        out += f".PP\n.nf\n{escape(command.footer)}\n.fi\n"
    return out


def program_page(tree, version):
    out = _heading("OXBOW", 1, version)
    out += f".SH NAME\noxbow \\- {_NAME}\n.SH SYNOPSIS\n\\fB{escape(tree.usage)}\\fR\n"
    out += f".SH DESCRIPTION\n{escape(tree.about)}\n.PP\nEvery command explains itself with \\fB\\-\\-help\\fR.\n.SH COMMANDS\n"
    leaves = [command for command in tree.all() if not command.commands]
    groups = [command for command in tree.all() if command.commands and command.path]
    for command in sorted(leaves + groups, key=lambda one: one.path):
        out += _command(command)
    out += """.SH EXIT STATUS
0: done. 1: it failed. 2: the arguments or the configuration are wrong.
.SH ENVIRONMENT
.TP
\\fBOXBOW_\\fISECTION\\fB_\\fIKEY\\fR
Overrides an option of the configuration file, see \\fBoxbow.toml\\fR(5).
.TP
\\fBLISTEN_PID\\fR, \\fBLISTEN_FDS\\fR
Sockets that systemd hands over; those at an address of the configuration are served.
.TP
\\fBNOTIFY_SOCKET\\fR
Where systemd is told that the daemon is ready, alive, reloading and stopping.
.SH FILES
.TP
\\fI/etc/oxbow/oxbow.toml\\fR
The configuration; all of it is optional.
.TP
\\fI/var/lib/oxbow\\fR
What is mirrored. It can be deleted while the daemon is stopped.
.SH SIGNALS
SIGTERM: answers end, at most client.drain_timeout long, then the daemon stops. SIGHUP: the configuration is read again.
.SH SEE ALSO
\\fBoxbow.toml\\fR(5), \\fBsystemd.socket\\fR(5)
"""
    return out


def _setting(setting):
    default = "Not set by default." if setting.default == "not set" else f"Default: {setting.default.strip('`')}."
    applied = {"reload": "Applied by a reload.", "restart": "Applied by a restart."}[setting.applied_by]
    return f".TP\n\\fB{escape(setting.key)}\\fR = {escape(setting.value)}\n{escape(setting.text)} {escape(default)} {applied}\n"


def configuration_page(introduction, sections, version):
    out = _heading("OXBOW.TOML", 5, version)
    out += ".SH NAME\noxbow.toml \\- configuration of oxbow\n.SH SYNOPSIS\n\\fI/etc/oxbow/oxbow.toml\\fR\n.SH DESCRIPTION\n"
    out += "\n.PP\n".join(escape(text) for text in introduction) + "\n"
    for section in sections:
        out += f'.SH "[{section.name}]"\n' + "\n.PP\n".join(escape(text) for text in section.about) + "\n"
        out += "".join(map(_setting, section.settings))
    return out + ".SH SEE ALSO\n\\fBoxbow\\fR(1)\n"
