# Functions for the scripts that make another root file system.

# make_root DEVICE: fills the file system there. The machine's init brings the programs along.
make_root() {
    mount "$1" /mnt
    mkdir -p /mnt/{dev,mnt,old,proc,project,root,run,srv,sys,tmp,usr,var}
    local name
    for name in bin lib lib64 sbin; do
        ln -s "usr/$name" "/mnt/$name"
    done
    cp --archive /etc /mnt/etc
    umount /mnt
}
