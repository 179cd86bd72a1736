"""Shell completion for bash, zsh and fish: sub-commands, options, files, and the keys of --set."""

_TAKES_FILE = ("config", "out", "file", "dir", "directory", "report", "path", "socket")


def _takes_file(row):
    return bool(row.value) and row.names[-1].lstrip("-").lower() in _TAKES_FILE


def _quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


def _keys(sections):
    return [f"{section.name}.{setting.key}" for section in sections if section.name != "[registry]" for setting in section.settings]


def bash(tree, sections):
    groups = [command for command in tree.all() if command.commands]
    lines = ["# bash completion for oxbow, made from `oxbow --help`", "_oxbow() {",
             '  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} at="" word i', "  COMPREPLY=()",
             "  for ((i = 1; i < COMP_CWORD; i++)); do", "    word=${COMP_WORDS[i]}", '    case "$at:$word" in']
    known = "|".join(f'"{" ".join(one.path[:-1])}:{one.path[-1]}"' for group in groups for one in group.commands)
    lines += [f"      {known}) at=${{at:+$at }}$word ;;", "    esac", "  done", '  case "$previous" in']
    files = sorted({name for one in tree.all() for row in one.options if _takes_file(row) for name in row.names})
    if files:
        lines += [f"    {'|'.join(files)}) COMPREPLY=($(compgen -f -- \"$current\")); compopt -o filenames; return ;;"]
    lines += ["    -s|--set)", "      compopt -o nospace",
              f"      COMPREPLY=($(compgen -S = -W {_quoted(' '.join(_keys(sections)))} -- \"$current\")); return ;;", "  esac",
              '  local words=""', '  case "$at" in']
    for command in tree.all():
        words = [one.path[-1] for one in command.commands] + [name for row in command.options for name in row.names]
        lines.append(f"    {_quoted(' '.join(command.path))}) words={_quoted(' '.join(words))} ;;")
    lines += ["  esac", '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
              # A positional such as a directory.
              '  [[ ${#COMPREPLY[@]} -gt 0 || $current == -* ]] || { COMPREPLY=($(compgen -f -- "$current")); compopt -o filenames; }',
              "}", "complete -F _oxbow oxbow"]
    return "\n".join(lines) + "\n"


def zsh(tree, sections):
    lines = ["#compdef oxbow", "# zsh completion for oxbow, made from `oxbow --help`", "_oxbow() {",
             '  local at="" word', "  local -a found", "  for word in ${words[2,CURRENT-1]}; do", '    case "$at:$word" in']
    known = "|".join(f'"{" ".join(one.path[:-1])}:{one.path[-1]}"' for group in tree.all() for one in group.commands)
    lines += [f"      {known}) at=${{at:+$at }}$word ;;", "    esac", "  done", '  case "${words[CURRENT-1]}" in']
    files = sorted({name for one in tree.all() for row in one.options if _takes_file(row) for name in row.names})
    if files:
        lines.append(f"    {'|'.join(files)}) _files; return ;;")
    lines += [f"    -s|--set) compadd -S = -- {' '.join(_keys(sections))}; return ;;", "  esac", '  case "$at" in']
    for command in tree.all():
        rows = [(one.path[-1], one.about) for one in command.commands] + [(name, row.text) for row in command.options for name in row.names]
        words = " ".join(_quoted(f"{name}:{text}".replace("\n", " ")) for name, text in rows)
        lines.append(f"    {_quoted(' '.join(command.path))}) found=({words}) ;;")
    lines += ["  esac", "  _describe 'oxbow' found || _files", "}",
              # Sourced by hand, or loaded by name from the fpath.
              'if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _oxbow "$@"; else compdef _oxbow oxbow; fi']
    return "\n".join(lines) + "\n"


def fish(tree, sections):
    lines = ["# fish completion for oxbow, made from `oxbow --help`", "function __oxbow_at", "    set -l at",
             "    for word in (commandline -opc)[2..]", "        switch (string join ' ' $at $word)"]
    paths = " ".join(_quoted(" ".join(one.path)) for one in tree.all() if one.path)
    lines += [f"            case {paths}", "                set at $at $word", "        end", "    end",
              '    test (string join " " -- $at) = "$argv[1]"', "end"]
    for command in tree.all():
        here = f"complete -c oxbow -n {_quoted('__oxbow_at ' + _quoted(' '.join(command.path)))}"
        for one in command.commands:
            lines.append(f"{here} -f -a {one.path[-1]} -d {_quoted(one.about)}")
        for row in command.options:
            names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in row.names if name.startswith("-"))
            takes = (" -r -F" if _takes_file(row) else " -x") if row.value else " -f"
            keys = f" -a {_quoted(' '.join(key + '=' for key in _keys(sections)))}" if "--set" in row.names else ""
            lines.append(f"{here} {names}{takes}{keys} -d {_quoted(row.text)}")
    return "\n".join(lines) + "\n"
