// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The notation of what a record has in many places.

use serde::{Deserialize, Serialize};

use crate::time::{NotATime, Timestamp};

/// A device number, as `major:minor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Device(pub (u32, u32));

impl From<Device> for String {
    fn from(Device((major, minor)): Device) -> Self {
        format!("{major}:{minor}")
    }
}

impl TryFrom<String> for Device {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let parsed = text.split_once(':').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        parsed.map(Device).ok_or("not a device number, major:minor")
    }
}

/// A point in time, exact: seconds since 1970 with nine decimals, as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Time(pub Timestamp);

impl From<Time> for String {
    fn from(Time(time): Time) -> Self {
        time.to_string()
    }
}

impl TryFrom<String> for Time {
    type Error = NotATime;

    fn try_from(text: String) -> Result<Self, NotATime> {
        text.parse().map(Time)
    }
}
