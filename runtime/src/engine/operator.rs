//! Who is an operator: whoever can read the operator's token, which lies in the data directory.

use std::path::Path;

use super::Engine;
use crate::error::{Code, Error, Result};
use crate::store::KeyFile;

/// The name of the token's file in the data directory, where no grant reaches.
pub const OPERATOR_TOKEN_FILE: &str = "operator.token";

/// The token in a data directory, whoever has that open.
///
/// # Errors
/// `file_not_found` before the first start; `invalid_configuration` where it is no secret any more.
pub fn operator_token(data: &Path) -> Result<KeyFile> {
    KeyFile::read(&data.join(OPERATOR_TOKEN_FILE))
}

impl Engine {
    /// Whether `token` is the operator's.
    ///
    /// # Errors
    /// `operator_token_missing`, `operator_token_wrong`; both say where it is.
    pub fn check_operator(&self, token: Option<&str>) -> Result<()> {
        let place = format!("it is the text of the file {OPERATOR_TOKEN_FILE} in the server's data directory");
        match token {
            None => {
                let why = format!("only an operator may do this: send the header Authorization: Bearer TOKEN; {place}");
                Err(Error::new(Code::OperatorTokenMissing, why))
            }
            Some(token) if !self.operator.is(token) => {
                Err(Error::new(Code::OperatorTokenWrong, format!("this is not the operator's token; {place}")))
            }
            Some(_) => Ok(()),
        }
    }
}
