// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The report of a look or a cure: the JSON schema of `criu-gc heal`. `docs/json.md` describes it.

use serde::Serialize;

use super::cure::Outcome;
use super::damage::{self, Finding, Found, Member, Verdict};
use super::words;
pub use super::words::KeptDamage;
use crate::json::Bytes;
use crate::report::SCHEMA_VERSION;

/// Everything that was found, will happen, and has happened.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct HealReport {
    /// [`SCHEMA_VERSION`].
    pub schema: u32,
    /// The program's name and version.
    pub tool: String,
    /// Whether the run only looked.
    pub mode: HealMode,
    /// The targets: first pids, then images.
    pub subjects: Vec<SubjectReport>,
}

/// The purpose of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealMode {
    /// List the damage.
    Show,
    /// Heal it.
    Heal,
}

/// A target.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct SubjectReport {
    /// The pid, or the images directory.
    pub name: Bytes,
    /// Why it cannot be used.
    pub error: Option<String>,
    /// Why nothing was examined and nothing is touched: somebody works on the processes, or they never ran.
    pub hands_off: Option<String>,
    /// The processes that were examined.
    pub processes: Vec<HealedProcess>,
    /// What was found, in the order of the cure.
    pub damages: Vec<DamageReport>,
    /// Notes that explain the list.
    pub notes: Vec<String>,
    /// What is not known, and why.
    pub cannot_be_known: Vec<String>,
    /// The counts.
    pub summary: HealSummary,
}

/// A process.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct HealedProcess {
    /// Its pid.
    pub pid: u32,
    /// Its name.
    pub name: Bytes,
    /// Its state letter, as `ps` shows it.
    pub state: char,
}

/// The kind of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Damage {
    /// A frozen control group.
    FrozenGroup,
    /// Overwritten bytes of code.
    OverwrittenCode,
    /// Blocked signals.
    BlockedSignals,
    /// A lock that drops packets.
    NetworkLock,
    /// A connection in `TCP_REPAIR`.
    TcpRepair,
    /// A changed `SO_PEEK_OFF`.
    PeekOffset,
    /// Memory of CRIU's.
    ParasiteMemory,
}

/// Damage.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct DamageReport {
    /// The kind.
    pub kind: Damage,
    /// What it is, for people.
    pub text: Bytes,
    /// The process; absent for a control group and a lock.
    pub pid: Option<u32>,
    /// What a cure does.
    pub cure: String,
    /// What a cure cannot give back.
    pub lost: Option<&'static str>,
    /// What will happen.
    pub verdict: DamageVerdict,
    /// Why it stays.
    pub reason: Option<KeptDamage>,
    /// What happened; absent if the run only looked.
    pub outcome: Option<HealOutcome>,
    /// Why it could not be healed.
    pub failure: Option<String>,
}

/// What will happen to damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DamageVerdict {
    /// It is healed.
    Heal,
    /// It stays.
    Keep,
}

/// What happened to damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealOutcome {
    /// It was healed, and a second look confirmed that.
    Healed,
    /// It was gone before.
    AlreadyGone,
    /// It stayed.
    Kept,
    /// It could not be healed.
    Failed,
}

/// Counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HealSummary {
    /// Everything that was found.
    pub damages: usize,
    /// Healed, or to be healed.
    pub healed: usize,
    /// Kept.
    pub kept: usize,
    /// Gone before.
    pub gone: usize,
    /// Could not be healed.
    pub failed: usize,
}

impl HealReport {
    /// Whether a target could not be used.
    pub fn has_errors(&self) -> bool {
        self.subjects.iter().any(|subject| subject.error.is_some())
    }

    /// Whether damage is left, or may be. What harms nothing does not count, nor what is only healed on request.
    pub fn leaves_something(&self) -> bool {
        self.subjects.iter().any(SubjectReport::leaves_something)
    }
}

impl SubjectReport {
    /// Whether damage is left, or may be.
    pub fn leaves_something(&self) -> bool {
        let is_left = |damage: &DamageReport| match (damage.outcome, damage.verdict) {
            (Some(HealOutcome::Failed), _) => true,
            (Some(HealOutcome::Healed | HealOutcome::AlreadyGone), _) => false,
            (Some(HealOutcome::Kept) | None, DamageVerdict::Keep) => {
                damage.reason.is_some_and(|reason| !matches!(reason.name, "harmless" | "on-request"))
            }
            (Some(HealOutcome::Kept) | None, DamageVerdict::Heal) => true,
        };
        self.hands_off.is_some() || !self.cannot_be_known.is_empty() || self.damages.iter().any(is_left)
    }
}

pub(super) fn report(mode: HealMode, subjects: Vec<SubjectReport>) -> HealReport {
    let tool = concat!("criu-gc ", env!("CARGO_PKG_VERSION")).to_owned();
    HealReport { schema: SCHEMA_VERSION, tool, mode, subjects }
}

pub(super) fn failed(name: &str, error: &str) -> SubjectReport {
    SubjectReport { error: Some(error.to_owned()), ..subject(name, &Found::default(), Vec::new()) }
}

/// The report of what was not carried out.
pub(super) fn planned(name: &str, found: &Found) -> SubjectReport {
    subject(name, found, found.findings.iter().map(|finding| damage(finding, None)).collect())
}

/// The report of a cure. `after` is what the last look found.
pub(super) fn healed(name: &str, found: &Found, outcomes: &[Outcome], after: Option<&Found>) -> SubjectReport {
    let is_there = |finding: &Finding| {
        after.is_some_and(|after| after.findings.iter().any(|left| left.damage.is_same(&finding.damage)))
    };
    let confirmed = found.findings.iter().zip(outcomes).map(|(finding, outcome)| match outcome {
        Outcome::Healed if is_there(finding) => damage(finding, Some(&Outcome::Failed("it is still there".to_owned()))),
        Outcome::Healed | Outcome::AlreadyGone | Outcome::Kept | Outcome::Failed(_) => damage(finding, Some(outcome)),
    });
    let mut report = subject(name, found, confirmed.collect());
    if let Some(after) = after {
        report.cannot_be_known.clone_from(&after.unknown);
        report.hands_off = after.hands_off.as_ref().map(|(_, why)| why.clone());
    }
    report
}

fn subject(name: &str, found: &Found, damages: Vec<DamageReport>) -> SubjectReport {
    SubjectReport {
        name: Bytes(name.as_bytes().to_owned()),
        error: None,
        hands_off: found.hands_off.as_ref().map(|(_, why)| why.clone()),
        processes: found.members.iter().map(process).collect(),
        summary: summary(&damages),
        damages,
        notes: found.notes.clone(),
        cannot_be_known: found.unknown.clone(),
    }
}

fn process(member: &Member) -> HealedProcess {
    HealedProcess { pid: member.pid, name: Bytes(member.name.clone()), state: char::from(member.state) }
}

fn damage(finding: &Finding, outcome: Option<&Outcome>) -> DamageReport {
    let (outcome, failure) = match outcome {
        None => (None, None),
        Some(Outcome::Healed) => (Some(HealOutcome::Healed), None),
        Some(Outcome::AlreadyGone) => (Some(HealOutcome::AlreadyGone), None),
        Some(Outcome::Kept) => (Some(HealOutcome::Kept), None),
        Some(Outcome::Failed(why)) => (Some(HealOutcome::Failed), Some(why.clone())),
    };
    let (verdict, reason) = match finding.verdict {
        Verdict::Heal => (DamageVerdict::Heal, None),
        Verdict::Keep(why) => (DamageVerdict::Keep, Some(words::reason(why))),
    };
    let damage = &finding.damage;
    DamageReport {
        kind: kind(damage),
        text: Bytes(words::text(damage)),
        pid: words::pid(damage),
        cure: words::cure(damage),
        lost: words::lost(damage),
        verdict,
        reason,
        outcome,
        failure,
    }
}

fn kind(damage: &damage::Damage) -> Damage {
    match damage {
        damage::Damage::Frozen(_) => Damage::FrozenGroup,
        damage::Damage::Code { .. } => Damage::OverwrittenCode,
        damage::Damage::Signals { .. } => Damage::BlockedSignals,
        damage::Damage::Lock(_) => Damage::NetworkLock,
        damage::Damage::Repair { .. } => Damage::TcpRepair,
        damage::Damage::PeekOffset { .. } => Damage::PeekOffset,
        damage::Damage::Parasite { .. } => Damage::ParasiteMemory,
    }
}

fn summary(damages: &[DamageReport]) -> HealSummary {
    let mut summary = HealSummary { damages: damages.len(), ..HealSummary::default() };
    for damage in damages {
        let count = match (damage.outcome, damage.verdict) {
            (Some(HealOutcome::Healed), _) | (None, DamageVerdict::Heal) => &mut summary.healed,
            (Some(HealOutcome::Kept), _) | (None, DamageVerdict::Keep) => &mut summary.kept,
            (Some(HealOutcome::AlreadyGone), _) => &mut summary.gone,
            (Some(HealOutcome::Failed), _) => &mut summary.failed,
        };
        *count += 1;
    }
    summary
}
