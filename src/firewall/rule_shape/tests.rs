// SPDX-License-Identifier: Apache-2.0 OR MIT

use super::*;
use crate::system::nft::Verdict;

fn words(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

fn flow(source: &str, destination: &str) -> Flow {
    Flow { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

fn drop_flow(source: &str, destination: &str, marked: bool) -> RuleShape {
    RuleShape::DropFlow { flow: flow(source, destination), marked }
}

mod legacy {
    use super::*;

    fn check(family: IpVersion, text: &str, expected: RuleShape) {
        assert_eq!(of_xtables(family, &words(text)), expected, "{text}");
    }

    const RULE: &str =
        "-s 10.0.0.2/32 -d 10.0.0.1/32 -p tcp -m mark ! --mark 0xc114 -m tcp --sport 4000 --dport 80 -j DROP";

    #[test]
    fn crius_rules_are_recognised() {
        let expected = drop_flow("10.0.0.2:4000", "10.0.0.1:80", true);
        check(IpVersion::V4, RULE, expected);
        let unmarked = RULE.replace("-m mark ! --mark 0xc114 ", "");
        check(IpVersion::V4, &unmarked, drop_flow("10.0.0.2:4000", "10.0.0.1:80", false));
        check(
            IpVersion::V6,
            "-s ::1/128 -d 2001:db8::1/128 -p tcp -m mark ! --mark 0xc114 -m tcp --sport 1 --dport 2 -j DROP",
            drop_flow("[::1]:1", "[2001:db8::1]:2", true),
        );
        check(IpVersion::V4, "-j CRIU", RuleShape::JumpToLock);
        check(IpVersion::V4, "-m mark --mark 0xc114 -j ACCEPT", RuleShape::AcceptMarked);
        check(IpVersion::V4, "-j DROP", RuleShape::DropAll);
    }

    #[test]
    fn a_rule_that_differs_in_one_thing_is_foreign() {
        for (from, to) in [
            ("-p tcp", "-p udp"),
            ("! --mark", "--mark"),
            ("0xc114", "0xc115"),
            ("0xc114", "0xc114/0xffff"),
            ("/32 -d", "/31 -d"),
            ("--sport 4000", "--sport 4000:4001"),
            ("--sport 4000", "! --sport 4000"),
            ("-j DROP", "-j REJECT --reject-with icmp-port-unreachable"),
            ("-j DROP", "-j ACCEPT"),
            ("-p tcp", "-i lo -p tcp"),
            ("-p tcp", "-p tcp -p tcp"),
            ("-j DROP", "-m comment --comment mine -j DROP"),
            ("-s 10.0.0.2/32 ", ""),
            (" --dport 80", ""),
            (" -j DROP", ""),
        ] {
            let text = RULE.replace(from, to);
            assert_ne!(text, RULE);
            check(IpVersion::V4, &text, RuleShape::Foreign);
        }
        check(IpVersion::V6, RULE, RuleShape::Foreign);
        check(IpVersion::V4, "-g CRIU", RuleShape::Foreign);
        check(IpVersion::V4, "-p tcp -j CRIU", RuleShape::Foreign);
        check(IpVersion::V4, "-p tcp -j DROP", RuleShape::Foreign);
        check(IpVersion::V4, "-m mark ! --mark 0xc114 -j ACCEPT", RuleShape::Foreign);
    }
}

mod nf_tables {
    use super::*;

    const V4: Option<IpVersion> = Some(IpVersion::V4);

    fn meta(key: u32, register: u32) -> Expression {
        Expression::Meta { key, register }
    }

    fn payload(base: u32, offset: u32, length: u32, register: u32) -> Expression {
        Expression::Payload { base, offset, length, register }
    }

    fn compare(register: u32, op: u32, value: &[u8]) -> Expression {
        Expression::Compare { register, op, value: value.to_vec() }
    }

    fn mark(op: u32) -> [Expression; 2] {
        [meta(3, 1), compare(1, op, &CRIU_MARK.to_ne_bytes())]
    }

    fn xt_match(name: &str, info: &[u8]) -> Expression {
        Expression::Match { name: name.to_owned(), revision: 0, info: info.to_vec() }
    }

    const DROP: Expression = Expression::Verdict(Verdict::Drop);

    fn protocol() -> Vec<Expression> {
        vec![meta(16, 1), compare(1, 0, &[6])]
    }

    fn addresses() -> Vec<Expression> {
        vec![payload(1, 12, 4, 1), compare(1, 0, &[10, 0, 0, 2]), payload(1, 16, 4, 1), compare(1, 0, &[10, 0, 0, 1])]
    }

    fn ports() -> Vec<Expression> {
        vec![payload(2, 0, 4, 1), compare(1, 0, &[0x0f, 0xa0, 0, 80])]
    }

    /// What iptables 1.8.9 makes of the command that CRIU runs.
    fn rule() -> Vec<Expression> {
        [protocol(), addresses(), mark(1).to_vec(), ports(), vec![Expression::Counter, DROP]].concat()
    }

    fn expected() -> RuleShape {
        drop_flow("10.0.0.2:4000", "10.0.0.1:80", true)
    }

    #[test]
    fn every_version_of_iptables_is_understood() {
        assert_eq!(of_nft(V4, &rule()), expected());
        // 1.8.11: the addresses first, and the protocol from the header.
        let header = vec![payload(1, 9, 1, 1), compare(1, 0, &[6])];
        let newer = [addresses(), header, mark(1).to_vec(), ports(), vec![Expression::Counter, DROP]].concat();
        assert_eq!(of_nft(V4, &newer), expected());
        // Before 1.8.8: matches of x_tables.
        let xt_mark = xt_match("mark", &[&CRIU_MARK.to_ne_bytes()[..], &[0xff; 4], &[1], &[0; 7]].concat());
        let (source, destination) = (4000_u16.to_ne_bytes(), 80_u16.to_ne_bytes());
        let xt_tcp = xt_match("tcp", &[&source[..], &source, &destination, &destination, &[0; 8]].concat());
        let older = [protocol(), addresses(), vec![xt_mark, xt_tcp, Expression::Counter, DROP]].concat();
        assert_eq!(of_nft(V4, &older), expected());
    }

    #[test]
    fn without_the_mark_it_is_the_form_before_2_10() {
        let rule = [protocol(), addresses(), ports(), vec![Expression::Counter, DROP]].concat();
        assert_eq!(of_nft(V4, &rule), drop_flow("10.0.0.2:4000", "10.0.0.1:80", false));
    }

    #[test]
    fn each_single_expression_left_out_doubled_or_changed_makes_it_foreign() {
        let rule = rule();
        for at in 0..rule.len() {
            if rule[at] == Expression::Counter {
                continue;
            }
            let mut without = rule.clone();
            without.remove(at);
            // Without load and comparison of the mark the rule is the old form; each alone is not.
            assert_eq!(of_nft(V4, &without), RuleShape::Foreign, "without {at}");
            let mut twice = rule.clone();
            twice.insert(at, rule[at].clone());
            assert_eq!(of_nft(V4, &twice), RuleShape::Foreign, "twice {at}");
            let mut other = rule.clone();
            other[at] = Expression::Other { name: "limit".to_owned() };
            assert_eq!(of_nft(V4, &other), RuleShape::Foreign, "other {at}");
        }
    }

    #[test]
    fn xt_matches_that_ask_for_more_are_foreign() {
        let criu_mark = CRIU_MARK.to_ne_bytes();
        for info in [
            [&criu_mark[..], &[0xff, 0xff, 0, 0], &[1], &[0; 7]].concat(),
            [&criu_mark[..], &[0xff; 4], &[0], &[0; 7]].concat(),
            [&criu_mark[..], &[0xff; 4]].concat(),
        ] {
            let ports = xt_match("tcp", &[0; 16]);
            let rule = [protocol(), addresses(), vec![xt_match("mark", &info), ports, DROP]].concat();
            assert_eq!(of_nft(V4, &rule), RuleShape::Foreign);
        }
        let flags = [&4000_u16.to_ne_bytes()[..], &4000_u16.to_ne_bytes(), &[80, 0, 80, 0], &[0, 2, 2, 0]].concat();
        let rule = [protocol(), addresses(), vec![xt_match("tcp", &flags), DROP]].concat();
        assert_eq!(of_nft(V4, &rule), RuleShape::Foreign);
    }

    #[test]
    fn the_lock_chain_and_its_jumps() {
        let jump = |chain: &str| vec![Expression::Counter, Expression::Verdict(Verdict::Jump(chain.to_owned()))];
        assert_eq!(of_nft(V4, &jump("CRIU")), RuleShape::JumpToLock);
        assert_eq!(of_nft(V4, &jump("criu")), RuleShape::Foreign);
        let accept = [&mark(0)[..], &[Expression::Counter, Expression::Verdict(Verdict::Accept)]].concat();
        assert_eq!(of_nft(V4, &accept), RuleShape::AcceptMarked);
        assert_eq!(of_nft(V4, &[Expression::Counter, DROP]), RuleShape::DropAll);
        assert_eq!(of_nft(V4, &[Expression::Counter]), RuleShape::Foreign);
        let after_the_end = [Expression::Counter, DROP, Expression::Counter];
        assert_eq!(of_nft(V4, &after_the_end), RuleShape::Foreign);
    }

    #[test]
    fn the_sets_of_a_lock_table() {
        let lookup = |set: &str| Expression::Lookup { set: set.to_owned(), register: 1, inverted: false };
        let rule = vec![
            meta(15, 1),
            compare(1, 0, &[2]),
            meta(16, 1),
            compare(1, 0, &[6]),
            payload(1, 12, 4, 1),
            payload(2, 0, 2, 9),
            payload(1, 16, 4, 10),
            payload(2, 2, 2, 11),
            lookup("conns4"),
            DROP,
        ];
        let expected = RuleShape::DropSet { set: "conns4".to_owned(), family: IpVersion::V4 };
        assert_eq!(of_nft(None, &rule), expected);
        for at in 0..rule.len() {
            let mut without = rule.clone();
            without.remove(at);
            assert_eq!(of_nft(None, &without), RuleShape::Foreign, "without {at}");
        }
    }
}
