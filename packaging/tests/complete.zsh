# complete.zsh DIRECTORY: for each line of standard input, what an interactive zsh offers at its end with the
# completion functions of DIRECTORY, in one line, sorted, parted by blanks. The terminal is one of zsh's own,
# so nothing is drawn.
zmodload zsh/zpty || exit 1
zpty offered zsh -f -i
# Everything that is sent is echoed, so the marks that are waited for are put together there.
send() { zpty -w offered "$1"; }
send "PS1= PS2= TERM=dumb; stty -echo; unsetopt zle_bracketed_paste prompt_cr prompt_sp beep list_beep"
send "fpath=(${(q)1} \$fpath); autoload -Uz compinit; compinit -u -D"
# Each match is passed to compadd: print it instead of adding it, and pass on calls that only query.
send 'compadd() { local -a hits; if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return; fi; builtin compadd -A hits "$@"; (( $#hits )) && print -rl -- "offer:"$^hits; return $(( ! $#hits )) }'
send 'capture() { _main_complete; print -r -- "of""fered:"; compstate[insert]= compstate[list]= }'
send 'zle -C capture complete-word capture; bindkey "^I" capture; bindkey "^U" kill-whole-line'
send 'print REA""DY'
zpty -r -m offered seen '*READY*' || exit 1
while IFS= read -r line; do
  zpty -w -n offered "$line"$'\t'
  zpty -r -m offered seen '*offered:*' || exit 1
  zpty -w -n offered $'\025'
  print -r -- ${(j: :)${(ou)${${(M)${(f)${seen//$'\r'/}}:#*offer:*}##*offer:}}}
done
zpty -d offered
