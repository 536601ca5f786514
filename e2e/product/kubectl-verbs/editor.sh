# What KUBE_EDITOR names: it changes the file that it is given as $EDIT says.
sed -i "$EDIT" "$1"
