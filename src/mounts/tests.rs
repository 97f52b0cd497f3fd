// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::os::unix::ffi::OsStrExt;

use super::*;
use crate::host::Scope;
use crate::system::mountinfo;

/// The mount table of a host, with what containers leave in one.
const HOST: &str = "\
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
23 22 8:2 / /data rw - xfs /dev/sdb1 rw,attr2
24 22 8:2 /volumes/a /mnt/a ro - xfs /dev/sdb1 rw,attr2
25 22 8:2 /volumes /mnt/v\\040w rw - xfs /dev/sdb1 rw,attr2
26 22 0:40 / /var/merged rw - overlay overlay rw,lowerdir=/l,upperdir=/u1,workdir=/w1
27 22 0:41 / /var/other rw - overlay overlay rw,lowerdir=/l,upperdir=/u2,workdir=/w2
28 22 0:50 / /dev/shm rw,nosuid - tmpfs shm rw,size=65536k
29 22 0:51 / /srv/fuse rw - fuse.sshfs user@host:/ rw,user_id=0";

/// That of a process in another mount namespace.
const ELSEWHERE: &str = "\
90 1 0:60 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/u9,workdir=/w9
91 90 0:77 / /dev/shm rw - tmpfs shm rw,size=4k
92 90 8:2 /volumes/a /in rw - xfs /dev/sdb1 rw,attr2";

fn host(mountinfo: &str) -> HostMounts {
    let (own, not_understood) = mountinfo::parse(mountinfo.as_bytes());
    assert_eq!(not_understood, 0);
    let others = vec![(MountNamespace::imagined(4321), mountinfo::parse(ELSEWHERE.as_bytes()).0)];
    HostMounts { own, others, looked: Some(Looked::in_test()), ..HostMounts::default() }
}

/// A mount of the tree: of a filesystem that CRIU does not know, on a device with a number of its own.
fn on_mount(name: &[u8], mount: &MntEntry, host: &HostMounts, hints: &MountHints) -> Option<Location> {
    Finder::new(host, hints).on_mount(name, mount)
}

fn mount(device: (u32, u32), root: &str, mountpoint: &str) -> MntEntry {
    MntEntry::default().with(|mount| {
        mount.mnt_id = 600;
        mount.root_dev = device.0 << 20 | device.1;
        mount.root = root.into();
        mount.mountpoint = mountpoint.into();
        mount.source = b"/dev/sdb1".to_vec();
    })
}

fn tmpfs(device: (u32, u32), source: &str, options: &str) -> MntEntry {
    mount(device, "/", "/dev/shm").with(|mount| {
        mount.fstype = 5;
        mount.source = source.into();
        mount.options = options.into();
    })
}

fn overlay(device: (u32, u32), options: &str) -> MntEntry {
    mount(device, "/", "/").with(|mount| {
        mount.fstype = 17;
        mount.source = b"overlay".to_vec();
        mount.options = options.into();
    })
}

fn text(location: &Location) -> String {
    match location {
        Location::At(places) => places.iter().map(place_text).collect::<Vec<_>>().join(" | "),
        Location::Either(readings) => {
            let texts = readings.iter().map(|places| places.iter().map(place_text).collect::<Vec<_>>().join(" | "));
            format!("either {}", texts.collect::<Vec<_>>().join(" or "))
        }
        Location::Vanished(Vanished::Tmpfs(_)) => "vanished: tmpfs".to_owned(),
        Location::Vanished(Vanished::KernelFilesystem(_)) => "vanished: KernelFilesystem".to_owned(),
        Location::Unreachable(why) => format!("unreachable: {why:?}"),
    }
}

fn place_text(place: &Place) -> String {
    let relative = place.relative.display();
    match &place.base {
        Base::Mount { namespace, mountpoint, id, .. } => {
            let of = namespace
                .as_ref()
                .and_then(|namespace| namespace.process)
                .map_or(String::new(), |pid| format!(" of {pid}"));
            format!("{id} {}{of} + {relative}", mountpoint.display())
        }
        Base::Upper { directory, .. } => format!("upper {} + {relative}", directory.display()),
        Base::Device { device: (major, minor), volume: None } => format!("device {major}:{minor} + {relative}"),
        Base::Device { volume: Some(volume), .. } => format!("volume {} + {relative}", String::from_utf8_lossy(volume)),
        Base::Recorded(path) => format!("recorded {} + {relative}", path.display()),
        Base::Named(path) => format!("named {} + {relative}", path.display()),
        Base::Root(path) | Base::PerhapsRoot(path) => format!("root {} + {relative}", path.display()),
    }
}

#[track_caller]
fn check_with(name: &str, mount: &MntEntry, hints: &MountHints, expected: &str) {
    let location = on_mount(name.as_bytes(), mount, &host(HOST), hints);
    assert_eq!(location.as_ref().map_or("outside of the mount".to_owned(), text), expected);
}

#[track_caller]
fn check(name: &str, mount: &MntEntry, expected: &str) {
    check_with(name, mount, &MountHints::default(), expected);
}

fn hints(root: Option<&str>, external: &[(&str, &str)]) -> MountHints {
    let external = external.iter().map(|(key, path)| (key.as_bytes().to_vec(), PathBuf::from(path))).collect();
    MountHints { root: root.map(PathBuf::from), external }
}

#[test]
fn the_upper_directory_tells_one_root_from_another_whatever_its_number() {
    let root = mountinfo::parse(ELSEWHERE.as_bytes()).0.swap_remove(0);
    let is_same = |device, upper: &str| {
        let options = format!("lowerdir=/l,upperdir={upper},workdir=/w9");
        filesystem::is_same_root(&overlay(device, &options), &root)
    };
    assert!(is_same((0, 60), "/u9") && is_same((0, 61), "/u9"));
    assert!(!is_same((0, 60), "/u8") && !is_same((0, 61), "/u8"));
    // Without one, the number counts.
    assert!(filesystem::is_same_root(&overlay((0, 60), "lowerdir=/l"), &root));
    assert!(!filesystem::is_same_root(&overlay((0, 61), "lowerdir=/l"), &root));
}

#[test]
fn a_tree_without_mount_namespaces_names_files_from_the_root_directory() {
    let check = |name: &str, hints: &MountHints, expected: &str| {
        assert_eq!(text(&Finder::new(&HostMounts::default(), hints).in_shared_namespace(name.as_bytes())), expected);
    };
    check("/srv/a/link_remap.6", &MountHints::default(), "root / + srv/a/link_remap.6");
    check("//link_remap.6", &MountHints::default(), "root / + link_remap.6");
    check("/srv/link_remap.6", &hints(Some("/chroot"), &[]), "root /chroot + srv/link_remap.6");
}

#[test]
fn a_directory_of_a_disk_as_root_is_where_the_disk_is_mounted() {
    check("/tmp/l", &mount((8, 1), "/var/roots/one", "/"), "22 / + var/roots/one/tmp/l");
    check("/tmp/l", &mount((8, 1), "/var/roots/one", "./"), "22 / + var/roots/one/tmp/l");
    check("/l", &mount((8, 1), "/", "/"), "22 / + l");
}

#[test]
fn a_bind_is_found_through_every_mount_that_shows_it_and_writable_ones_come_first() {
    let all = "23 /data + volumes/a/b/l | 25 /mnt/v w + a/b/l | 92 /in of 4321 + b/l | 24 /mnt/a + b/l";
    check("/in/b/l", &mount((8, 2), "/volumes/a", "/in"), all);
    check("/in/a/b/l", &mount((8, 2), "/volumes", "/in"), all);
    check("/in/l", &mount((8, 2), "/volumes/a/b", "/in"), all);
}

#[test]
fn a_bind_of_a_bind_is_found_where_the_filesystem_itself_is() {
    check("/x/y/l", &mount((8, 2), "/volumes/other", "/x/y"), "23 /data + volumes/other/l | 25 /mnt/v w + other/l");
    check("/x/y/l", &mount((8, 2), "/volumesX", "/x/y"), "23 /data + volumesX/l");
}

#[test]
fn every_mount_of_a_filesystem_is_a_candidate_even_one_that_another_covers() {
    let covered = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 8:2 / /mnt rw - xfs d rw\n31 30 8:3 / /mnt rw - xfs e rw";
    let location = on_mount(b"/l", &mount((8, 2), "/", "/"), &host(covered), &MountHints::default());
    // Whoever opens it compares the id.
    assert_eq!(location.as_ref().map(text).as_deref(), Some("30 /mnt + l"));
}

/// Each container may have one.
#[test]
fn of_very_many_mounts_that_show_a_file_the_best_are_candidates() {
    let line = |id: u32| format!("{id} 1 8:2 / /m{id} {} - ext4 /dev/sda2 rw\n", if id == 99 { "rw" } else { "ro" });
    let many: String = (50..100).map(line).collect();
    let Some(Location::At(places)) = on_mount(b"/l", &mount((8, 2), "/", "/"), &host(&many), &MountHints::default())
    else {
        panic!("not there")
    };
    assert_eq!((places.len(), places[0].path()), (MOST_PLACES, "/m99/l".into()));
}

#[test]
fn a_disk_that_is_mounted_but_does_not_show_the_directory_cannot_be_reached() {
    let only_part = host("22 1 8:2 /volumes /mnt rw - xfs d rw");
    let location = on_mount(b"/in/l", &mount((8, 2), "/root", "/in"), &only_part, &MountHints::default());
    let expected = "unreachable: NotShown { device: (8, 2) }";
    assert_eq!(location.as_ref().map(text).as_deref(), Some(expected));
}

#[test]
fn a_disk_that_is_mounted_nowhere_has_to_be_mounted() {
    check("/l", &mount((8, 9), "/", "/"), "device 8:9 + l");
    check("/in/a/l", &mount((8, 9), "/volumes", "/in"), "device 8:9 + volumes/a/l");
}

#[test]
fn a_filesystem_that_another_mount_namespace_has_is_found_there() {
    check("/dev/shm/l", &tmpfs((0, 77), "shm", "size=4k"), "91 /dev/shm of 4321 + l");
    check("/l", &overlay((0, 60), "lowerdir=/l,upperdir=/u9,workdir=/w9"), "90 / of 4321 + l");
}

#[test]
fn an_overlay_that_is_mounted_nowhere_is_found_in_its_upper_directory() {
    check("/a/l", &overlay((0, 88), r"lowerdir=/l,upperdir=/u\0547,workdir=/w7"), "upper /u,7 + a/l");
    let relative = r#"unreachable: NotMounted { device: (0, 88), mountpoint: "/" }"#;
    check("/a/l", &overlay((0, 88), "lowerdir=/l,upperdir=u7,workdir=w7"), relative);
}

#[test]
fn an_escape_that_criu_leaves_in_a_root_is_read_both_ways() {
    let expected = "either 23 /data + a\nb/l or 23 /data + a\\012b/l";
    check("/in/l", &mount((8, 2), r"/a\012b", "/in"), expected);
    check("/i\nn/l", &mount((8, 2), "/a", r"/i\012n"), "23 /data + a/l");
    check(r"/i\012n/l", &mount((8, 2), "/a", r"/i\012n"), "23 /data + a/l");
    check("/in/l", &mount((8, 9), r"/a\043b", "/in"), "either device 8:9 + a#b/l or device 8:9 + a\\043b/l");
}

#[test]
fn a_mount_of_a_deleted_directory_shows_nothing() {
    let deleted = "22 1 8:2 /volumes//deleted /v rw - xfs d rw\n23 1 8:2 /volumes /w rw - xfs d rw";
    let location = on_mount(b"/in/l", &mount((8, 2), "/volumes", "/in"), &host(deleted), &MountHints::default());
    assert_eq!(location.as_ref().map(text).as_deref(), Some("23 /w + l"));
}

#[test]
fn a_mount_that_a_plugin_dumped_is_for_the_plugin_to_know() {
    check("/in/l", &mount((8, 2), "/", "/in").with(|mount| mount.with_plugin = true), "unreachable: Plugin");
}

#[test]
fn an_anonymous_device_counts_only_with_the_same_type_source_and_options() {
    let reused = "unreachable: DeviceReused { device: (0, 40) }";
    let options = "lowerdir=/l,upperdir=/u1,workdir=/w1";
    check("/l", &overlay((0, 40), options), "26 /var/merged + l");
    check("/l", &overlay((0, 40), "rw,lowerdir=/elsewhere,upperdir=/u1"), "26 /var/merged + l");
    check("/l", &overlay((0, 40), "lowerdir=/l"), reused);
    check("/l", &overlay((0, 40), options).with(|mount| mount.fstype = 5), "vanished: tmpfs");
}

#[test]
fn an_overlay_is_what_its_upper_directory_says_under_whatever_number() {
    for number in [40, 41, 88] {
        check("/l", &overlay((0, number), "lowerdir=/l,upperdir=/u2,workdir=/w2"), "27 /var/other + l");
    }
}

#[test]
fn a_tmpfs_of_the_host_is_found_and_one_of_the_tree_has_vanished() {
    check("/dev/shm/l", &tmpfs((0, 50), "shm", "size=65536k"), "28 /dev/shm + l");
    check("/dev/shm/l", &tmpfs((0, 99), "shm", "size=65536k"), "vanished: tmpfs");
}

#[test]
fn a_tmpfs_with_the_number_is_looked_into_whatever_its_options_are_now() {
    for other in [tmpfs((0, 50), "shm", "size=1k"), tmpfs((0, 50), "tmpfs", "size=65536k"), tmpfs((0, 50), "shm", "")] {
        check("/dev/shm/l", &other, "28 /dev/shm + l");
    }
    // Another kind of filesystem has the number: the tmpfs has ended.
    check("/dev/shm/l", &tmpfs((0, 51), "shm", ""), "vanished: tmpfs");
}

#[test]
fn an_external_tmpfs_is_gone_with_its_last_mount() {
    let external = tmpfs((0, 99), "shm", "").with(|mount| mount.ext_key = Some(b"shm".to_vec()));
    check("/dev/shm/l", &external, "vanished: tmpfs");
    let unseen = HostMounts { looked: None, ..host(HOST) };
    let location = on_mount(b"/dev/shm/l", &external, &unseen, &MountHints::default());
    assert!(matches!(location, Some(Location::Unreachable(Unreachable::Hidden { .. }))), "{location:?}");
}

#[test]
fn a_tmpfs_that_something_keeps_is_not_gone() {
    let why = Unseen { scope: Scope::Mounts, why: "a process has it open".to_owned() };
    let with_holder = HostMounts { held: [((0, 99), vec![why.clone()])].into(), ..host(HOST) };
    let location = |minor| on_mount(b"/dev/shm/l", &tmpfs((0, minor), "shm", ""), &with_holder, &MountHints::default());
    let kept = location(99);
    assert!(
        matches!(&kept, Some(Location::Unreachable(Unreachable::Hidden { unseen, .. })) if *unseen == [why]),
        "{kept:?}"
    );
    assert!(matches!(location(98), Some(Location::Vanished(Vanished::Tmpfs(_)))));
}

#[test]
fn flags_among_the_options_make_no_difference() {
    check("/dev/shm/l", &tmpfs((0, 50), "shm", "rw,size=65536k"), "28 /dev/shm + l");
    let unsorted = host("28 22 0:50 / /s rw - tmpfs shm ro,mode=755,size=1k");
    let mount = tmpfs((0, 50), "shm", "size=1k,sync,mode=755");
    let location = on_mount(b"/dev/shm/l", &mount, &unsorted, &MountHints::default());
    assert_eq!(location.as_ref().map(text).as_deref(), Some("28 /s + l"));
}

#[test]
fn which_subvolume_a_mount_shows_makes_no_difference() {
    let mounted = host("30 22 0:52 / /pool rw - btrfs /dev/sdb1 rw,ssd,subvolid=5,subvol=/");
    let of = |options: &str| {
        let mount = mount((0, 52), "/volume", "/in").with(|mount| mount.options = options.into());
        on_mount(b"/in/l", &mount, &mounted, &MountHints::default()).as_ref().map(text)
    };
    assert_eq!(of("ssd,subvolid=256,subvol=/volume").as_deref(), Some("30 /pool + volume/l"));
    assert_ne!(of("subvolid=256,subvol=/volume").as_deref(), Some("30 /pool + volume/l"));
}

#[test]
fn the_source_of_a_mount_with_a_key_of_crius_own_is_not_the_kernels() {
    let with_key = |key: &str| {
        mount((0, 51), "/", "/in").with(|mount| {
            mount.ext_key = Some(key.into());
            mount.source = b"CRIU's own".to_vec();
            mount.options = b"user_id=0".to_vec();
        })
    };
    check("/in/l", &with_key("CRIU:AUTOGENERATED"), "29 /srv/fuse + l");
    check("/in/l", &with_key("/in"), "unreachable: DeviceReused { device: (0, 51) }");
}

#[test]
fn a_filesystem_that_the_user_allowed_goes_by_its_name() {
    let auto = |name: &str| {
        mount((0, 51), "/", "/in").with(|mount| {
            mount.fstype = 16;
            mount.fsname = Some(name.into());
            mount.source = b"user@host:/".to_vec();
            mount.options = b"user_id=0".to_vec();
        })
    };
    check("/in/l", &auto("fuse.sshfs"), "29 /srv/fuse + l");
    check("/in/l", &auto("fuse.other"), "unreachable: DeviceReused { device: (0, 51) }");
}

#[test]
fn what_the_user_says_comes_before_all_else() {
    let external = mount((8, 2), "/", "/in").with(|mount| {
        mount.ext_key = Some(b"the key".to_vec());
        mount.deleted = true;
    });
    let hints = hints(Some("/roots/one"), &[("other", "/x"), ("the key", "/here")]);
    check_with("/in/a/l", &external, &hints, "named /here + a/l");
    check_with("/a/l", &mount((8, 2), "/", "/"), &hints, "named /roots/one + a/l");
    check_with("/in/a/l", &mount((8, 2), "/", "/in"), &hints, "23 /data + a/l");
}

#[test]
fn an_external_mount_of_old_images_has_only_a_key() {
    let old = mount((8, 2), "the key", "/in").with(|mount| mount.ext_mount = true);
    check("/in/a/l", &old, r#"unreachable: ExternalKeyOnly { key: "the key" }"#);
    check_with("/in/a/l", &old, &hints(None, &[("the key", "/here")]), "named /here + a/l");
    // Without the flag the same words are a directory.
    check_with("/in/a/l", &mount((8, 2), "/k", "/in"), &hints(None, &[("/k", "/here")]), "23 /data + k/a/l");
}

#[test]
fn links_on_the_kernels_own_filesystems_do_not_outlive_the_tree() {
    for fstype in [1, 2, 4, 6, 8, 9, 10, 11, 12, 14, 18, 19, 23] {
        let entry = mount((8, 1), "/", "/k").with(|mount| mount.fstype = fstype);
        check("/k/l", &entry, "vanished: KernelFilesystem");
    }
    // devtmpfs is one for all.
    check("/k/l", &mount((8, 1), "/", "/k").with(|mount| mount.fstype = 3), "22 / + l");
}

#[test]
fn a_directory_that_was_deleted_before_the_dump_is_said_to_be() {
    check("/in/l", &mount((8, 2), "/volumes/a", "/in").with(|mount| mount.deleted = true), "unreachable: RootDeleted");
}

#[test]
fn a_name_outside_its_mount_is_no_place() {
    let entry = mount((8, 2), "/", "/in");
    for name in ["/l", "/inside/l", "/out/in/l", "in/l", ""] {
        check(name, &entry, "outside of the mount");
    }
}

#[test]
fn paths_need_not_be_text() {
    let raw = mount((8, 2), "/", "/in").with(|mount| mount.root = b"/v\xff".to_vec());
    let location = on_mount(b"/in/\xfe/l", &raw, &host(HOST), &MountHints::default());
    let Some(Location::At(places)) = location else { panic!("{location:?}") };
    assert_eq!(places[0].relative.as_os_str().as_bytes(), b"v\xff/\xfe/l");
    assert_eq!(places[0].split(), (Path::new(OsStr::from_bytes(b"v\xff/\xfe")), OsStr::new("l")));
    assert_eq!(places[0].path().as_os_str().as_bytes(), b"/data/v\xff/\xfe/l");
}

#[test]
fn a_volume_of_device_mapper_is_known_by_its_name() {
    let volume = |device| mount(device, "/", "/").with(|mount| mount.source = b"/dev/mapper/vg-root".to_vec());
    let check = |mountinfo: &str, expected: &str| {
        let location = on_mount(b"/l", &volume((253, 0)), &host(mountinfo), &MountHints::default());
        assert_eq!(location.as_ref().map(text).as_deref(), Some(expected), "{mountinfo}");
    };
    check("22 1 253:0 / /a rw - ext4 /dev/mapper/vg-root rw", "22 /a + l");
    check("22 1 253:3 / /a rw - ext4 /dev/vg/root rw\n23 1 253:0 / /b rw - ext4 /dev/vg/other rw", "22 /a + l");
    // Another volume has the number now.
    check("23 1 253:0 / /b rw - ext4 /dev/mapper/vg-other rw", "volume vg-root + l");
    check("23 1 8:1 / / rw - ext4 /dev/sda1 rw", "volume vg-root + l");
    // The source does not tell.
    check("24 1 253:0 / / rw - ext4 /dev/root rw", "24 / + l");
}

#[test]
fn a_volume_with_another_number_is_not_certain() {
    let identity = |number, source: &str| {
        let table = format!("22 1 253:{number} / /a rw - ext4 {source} rw");
        let entry = mount((253, 0), "/", "/").with(|mount| mount.source = b"/dev/mapper/vg-root".to_vec());
        match on_mount(b"/l", &entry, &host(&table), &MountHints::default()) {
            Some(Location::At(places)) => places[0].base.identity(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(identity(0, "/dev/vg/root"), Identity::Certain);
    assert_eq!(identity(1, "/dev/vg/root"), Identity::ByName);
    assert_eq!(identity(0, "/dev/root"), Identity::ByName);
}

#[test]
fn the_source_of_nfs_says_which_directory_a_mount_shows() {
    let entry = |source: &str| {
        mount((0, 30), "/", "/data").with(|mount| {
            mount.source = source.into();
            mount.options = b"vers=4.2".to_vec();
        })
    };
    let check = |dumped: &str, source: &str, expected: Option<&str>| {
        let table = format!("22 1 0:30 / /mnt rw - nfs4 {source} rw,vers=4.2");
        let location = on_mount(b"/data/a/l", &entry(dumped), &host(&table), &MountHints::default());
        assert_eq!(location.as_ref().map(text).filter(|text| !text.contains("DeviceReused")).as_deref(), expected);
    };
    check("server:/export/volume", "server:/export", Some("22 /mnt + volume/a/l"));
    check("server:/export/volume", "server:/", Some("22 /mnt + export/volume/a/l"));
    check("server:/export", "server:/export", Some("22 /mnt + a/l"));
    check("server:/export/volume", "server:/exp", None);
    check("server:/export", "server:/export/volume", None);
    check("server:/export/volume", "other:/export", None);
    check("server:/export/../private", "server:/export", None);
    check("server:/export/./volume", "server:/export", None);
}

#[test]
fn a_disk_may_have_another_number_after_a_restart() {
    let disks = |device| {
        let (mount, host) = (mount(device, "/volumes", "/in"), host(HOST));
        let places = OtherDisks::new(&mount, &host, &MountHints::default()).places_of(b"/in/l");
        let texts = places.iter().map(|places| places.iter().map(place_text).collect::<Vec<_>>().join(" | "));
        texts.collect::<Vec<_>>()
    };
    assert_eq!(disks((8, 1)), ["23 /data + volumes/l | 25 /mnt/v w + l"]);
    assert_eq!(disks((8, 2)), ["22 / + volumes/l"]);
    assert_eq!(disks((8, 9)), ["22 / + volumes/l", "23 /data + volumes/l | 25 /mnt/v w + l"]);
    assert!(disks((0, 40)).is_empty(), "an anonymous number is of no disk");
}
