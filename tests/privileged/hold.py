# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Goes where the words say, then holds that, under the name `holds`. It needs no file where it goes.

enter NS | unshare FLAGS | cpu NUMBER | chroot DIR | root DIR | cd DIR | detach DIR | open FILE | map FILE | fly FILE |
clone DIR | socket | bind PATH | list DIR | remount DIR OPTIONS | thread WORDS… | leave

`leave` comes before `thread`: the first thread ends, and the process goes on without it.
"""
import ctypes, mmap, os, socket, sys, threading, time

libc = ctypes.CDLL(None, use_errno=True)
held = []
leaves = False


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")


def go(words):
    global leaves
    while words:
        word = words.pop(0)
        if word == "thread":
            rest, words = words, []
            threading.Thread(target=lambda: (check(libc.unshare(0x200)), go(rest), time.sleep(1000))).start()
            time.sleep(0.2)
        elif word == "leave":
            leaves = True
        elif word == "socket":
            held.append(socket.socket())
        elif word == "enter":
            namespace = os.open(words.pop(0), os.O_RDONLY)
            check(libc.setns(namespace, 0))
            os.close(namespace)
        elif word == "unshare":
            check(libc.unshare(int(words.pop(0), 0)))
        elif word == "cpu":
            os.sched_setaffinity(0, [int(words.pop(0))])
        elif word == "chroot":
            os.chroot(words.pop(0))
            os.chdir("/")
        elif word == "root":
            os.chroot(words.pop(0))
        elif word == "clone":
            # open_tree with OPEN_TREE_CLONE: a mount that is in no mount namespace
            check(libc.syscall(428, -100, words.pop(0).encode(), 1))
        elif word == "bind":
            held.append(socket.socket(socket.AF_UNIX))
            held[-1].bind(words.pop(0))
        elif word == "cd":
            os.chdir(words.pop(0))
        elif word == "detach":
            check(libc.umount2(words.pop(0).encode(), 2))
        elif word == "open":
            os.set_inheritable(os.open(words.pop(0), os.O_RDONLY), True)
        elif word == "remount":
            check(libc.mount(None, words.pop(0).encode(), None, 32, words.pop(0).encode()))
        elif word == "map":
            with open(words.pop(0), "rb") as file:
                held.append(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
        elif word == "fly":
            held.extend(socket.socketpair(socket.AF_UNIX))
            file = os.open(words.pop(0), os.O_RDONLY)
            socket.send_fds(held[-1], [b"x"], [file])
            os.close(file)
        elif word == "list":
            print("\n".join(os.listdir(words.pop(0))))
            sys.exit()


go(sys.argv[1:])
libc.prctl(15, b"holds", 0, 0, 0)
if leaves:
    libc.syscall(60, 0)
time.sleep(1000)
