# complete.zsh DIRECTORY LINE: prints what an interactive zsh offers for LINE with the completion functions of DIRECTORY.
zmodload zsh/zpty || exit 1
zpty offered zsh -f -i
zpty -w offered "PS1= TERM=dumb; fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D; setopt no_beep list_ambiguous; unsetopt list_beep"
zpty -w offered 'echo REA""DY'
zpty -r -m offered line '*READY*'
zpty -w -n offered "$2"$'\t\t'
sleep 2
while zpty -rt offered line; do print -rn -- $line; done
zpty -d offered
