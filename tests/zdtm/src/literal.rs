// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Python literals: what CRIU's suite describes its tests with, and what hooks answer in.
//!
//! Python reads them, as every machine here has it. It must never run what it reads: `literal_eval` takes a
//! description that is code for an error.

use std::process::Command;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Error;

const PROGRAM: &str = "
import ast, json, sys
def answer(text):
    try:
        return json.dumps({'value': ast.literal_eval(text)})
    except Exception as error:
        # What follows may be an object with its address, which differs from run to run.
        return json.dumps({'problem': '%s: %s' % (type(error).__name__, str(error).split(': <')[0])})
print('[%s]' % ','.join(map(answer, sys.argv[1:])))
";

/// The value of each text, or why it is no literal. One call for all: Python takes longer to start than to read.
pub(crate) fn values(texts: &[String]) -> Result<Vec<Result<Value, String>>, Error> {
    let output = Command::new("python3").args(["-c", PROGRAM]).args(texts).output().map_err(Error::NoPython)?;
    let said = [output.stdout, output.stderr].concat();
    let no_literal = |_| Error::NoLiteral(String::from_utf8_lossy(&said).into_owned());
    let answers: Vec<Value> = serde_json::from_slice(&said).map_err(no_literal)?;
    Ok(answers.into_iter().map(value).collect())
}

/// The value of one text.
pub(crate) fn value_of(text: &str) -> Result<Result<Value, String>, Error> {
    let mut values = values(&[text.to_owned()])?;
    Ok(values.pop().unwrap_or_else(|| Err("no answer".to_owned())))
}

/// What the dictionary holds. Serde would also fill a structure from a list.
pub(crate) fn dictionary<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    if !value.is_object() {
        return Err("it is no dictionary".to_owned());
    }
    T::deserialize(value).map_err(|error| error.to_string())
}

fn value(mut answer: Value) -> Result<Value, String> {
    match answer.get("problem") {
        Some(problem) => Err(problem.as_str().unwrap_or_default().to_owned()),
        None => Ok(answer["value"].take()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn literals_of_python_and_nothing_else() {
        let texts = [
            "# a comment\n{'a': ('x', r'\\d'), 'b': ['one' 'two'],}\n",
            "__import__('os').getpid()",
            "{'a': {1, 2}}",
            "",
        ];
        let values = values(&texts.map(str::to_owned)).unwrap();
        assert_eq!(values[0], Ok(json!({"a": ["x", "\\d"], "b": ["onetwo"]})));
        let problems: Vec<_> = values[1..].iter().map(|value| value.clone().unwrap_err()).collect();
        assert!(problems[0].starts_with("ValueError: malformed node"), "{problems:?}");
        assert!(!problems[0].contains("0x"), "{problems:?}");
        assert!(problems[1].starts_with("TypeError: Object of type set"), "{problems:?}");
        assert!(problems[2].starts_with("SyntaxError:"), "{problems:?}");
    }
}
