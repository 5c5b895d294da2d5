//! The statements that this BigQuery runs: a SELECT over a federated query or over one stored
//! table, a union of them, and a MERGE. Whatever else is legal in GoogleSQL is refused, and
//! the refusal says that it is the simulator's.

use super::tokens::{Token, tokens};

/// A whole statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Statement {
    /// One SELECT, or several by UNION ALL.
    Query(Vec<Select>),
    Merge(Merge),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Select {
    pub(super) items: Vec<Item>,
    pub(super) source: Source,
    /// `WHERE IF(column, ERROR(text), TRUE)`: the column and the text.
    pub(super) fails_if: Option<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) what: Expression,
    pub(super) name: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expression {
    Column(String),
    Null,
    Cast(Box<Expression>, String),
    Max(String),
    /// `FORMAT_TIMESTAMP` and its like: the value's text is what this simulator stores, so
    /// only what that text becomes by the one format that is known here.
    Formatted(Box<Expression>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    External {
        connection: String,
        query: String,
        /// The JSON object of options, if there is one.
        options: Option<String>,
    },
    Table(TableName),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct TableName {
    pub(in super::super) project: String,
    pub(in super::super) dataset: String,
    pub(in super::super) table: String,
}

/// Rows of a known key are updated, others inserted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Merge {
    pub(super) into: TableName,
    pub(super) from: Vec<Select>,
    pub(super) key: Vec<String>,
    pub(super) updated: Vec<String>,
    pub(super) inserted: Vec<String>,
}

/// Reads a statement.
///
/// # Errors
/// With a sentence, if it is none that is known here.
pub(super) fn parse(text: &str) -> Result<Statement, String> {
    let tokens = tokens(text)?;
    let mut reader = Reader { rest: &tokens };
    let statement = if reader.is("MERGE") {
        Statement::Merge(reader.merge()?)
    } else {
        Statement::Query(reader.query()?)
    };
    match reader.rest.first() {
        None => Ok(statement),
        Some(token) => Err(unknown(token)),
    }
}

fn unknown(token: &Token) -> String {
    format!("Syntax error: this simulator does not understand {token:?} here")
}

struct Reader<'t> {
    rest: &'t [Token],
}

impl Reader<'_> {
    fn next(&mut self) -> Result<Token, String> {
        let (first, rest) = self
            .rest
            .split_first()
            .ok_or("Syntax error: Unexpected end of statement")?;
        self.rest = rest;
        Ok(first.clone())
    }

    fn is(&self, word: &str) -> bool {
        matches!(self.rest.first(), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word))
    }

    /// Takes the word if it comes next.
    fn takes(&mut self, word: &str) -> bool {
        let is = self.is(word);
        if is {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        is
    }

    fn words(&mut self, words: &str) -> Result<(), String> {
        for word in words.split(' ') {
            if !self.takes(word) {
                return Err(self.rest.first().map_or_else(
                    || "Syntax error: Unexpected end of statement".to_owned(),
                    unknown,
                ));
            }
        }
        Ok(())
    }

    fn sign(&mut self, sign: char) -> Result<(), String> {
        match self.next()? {
            Token::Sign(found) if found == sign => Ok(()),
            other => Err(unknown(&other)),
        }
    }

    fn takes_sign(&mut self, sign: char) -> bool {
        let is = self.rest.first() == Some(&Token::Sign(sign));
        if is {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        is
    }

    fn name(&mut self) -> Result<String, String> {
        match self.next()? {
            Token::Name(name) | Token::Word(name) => Ok(name),
            other => Err(unknown(&other)),
        }
    }

    fn text(&mut self) -> Result<String, String> {
        match self.next()? {
            Token::Text(text) => Ok(text),
            other => Err(unknown(&other)),
        }
    }

    fn list<T>(&mut self, one: impl Fn(&mut Self) -> Result<T, String>) -> Result<Vec<T>, String> {
        let mut all = vec![one(self)?];
        while self.takes_sign(',') {
            all.push(one(self)?);
        }
        Ok(all)
    }

    fn query(&mut self) -> Result<Vec<Select>, String> {
        let mut all = vec![self.select()?];
        while self.is("UNION") {
            self.words("UNION ALL")?;
            all.push(self.select()?);
        }
        Ok(all)
    }

    fn select(&mut self) -> Result<Select, String> {
        self.words("SELECT")?;
        let items = self.list(Self::item)?;
        self.words("FROM")?;
        let source = self.source()?;
        let fails_if = if self.takes("WHERE") {
            self.words("IF")?;
            self.sign('(')?;
            let column = self.name()?;
            self.sign(',')?;
            self.words("ERROR")?;
            self.sign('(')?;
            let text = self.text()?;
            self.sign(')')?;
            self.sign(',')?;
            self.words("TRUE")?;
            self.sign(')')?;
            Some((column, text))
        } else {
            None
        };
        Ok(Select {
            items,
            source,
            fails_if,
        })
    }

    fn item(&mut self) -> Result<Item, String> {
        let what = self.expression()?;
        let name = match &what {
            _ if self.takes("AS") => self.name()?,
            Expression::Column(name) => name.clone(),
            _ => "f0_".to_owned(),
        };
        Ok(Item { what, name })
    }

    fn expression(&mut self) -> Result<Expression, String> {
        let word = match self.next()? {
            Token::Name(name) => return Ok(Expression::Column(name)),
            Token::Word(word) => word,
            other => return Err(unknown(&other)),
        };
        let called = self.rest.first() == Some(&Token::Sign('('));
        match word.to_ascii_uppercase().as_str() {
            "NULL" => Ok(Expression::Null),
            "CAST" if called => {
                self.sign('(')?;
                let what = self.expression()?;
                self.words("AS")?;
                let kind = self.name()?.to_ascii_uppercase();
                self.sign(')')?;
                Ok(Expression::Cast(Box::new(what), kind))
            }
            "MAX" if called => {
                self.sign('(')?;
                let column = self.name()?;
                self.sign(')')?;
                Ok(Expression::Max(column))
            }
            "FORMAT_TIMESTAMP" | "FORMAT_DATETIME" | "FORMAT_DATE" if called => {
                self.sign('(')?;
                let format = self.text()?;
                let known = [
                    "%E4Y-%m-%dT%H:%M:%E6SZ",
                    "%E4Y-%m-%dT%H:%M:%E6S",
                    "%E4Y-%m-%d",
                ];
                if !known.contains(&format.as_str()) {
                    return Err(format!(
                        "this simulator does not know the format {format:?}"
                    ));
                }
                self.sign(',')?;
                let what = self.expression()?;
                if self.takes_sign(',') {
                    self.text()?;
                }
                self.sign(')')?;
                Ok(Expression::Formatted(Box::new(what)))
            }
            _ if called => Err(format!("Function not found: {word}")),
            _ => Ok(Expression::Column(word)),
        }
    }

    fn source(&mut self) -> Result<Source, String> {
        if !self.takes("EXTERNAL_QUERY") {
            return self.table().map(Source::Table);
        }
        self.sign('(')?;
        let connection = self.text()?;
        self.sign(',')?;
        let query = self.text()?;
        let options = if self.takes_sign(',') {
            Some(self.text()?)
        } else {
            None
        };
        self.sign(')')?;
        Ok(Source::External {
            connection,
            query,
            options,
        })
    }

    fn table(&mut self) -> Result<TableName, String> {
        let project = self.name()?;
        self.sign('.')?;
        let dataset = self.name()?;
        self.sign('.')?;
        let table = self.name()?;
        Ok(TableName {
            project,
            dataset,
            table,
        })
    }

    fn merge(&mut self) -> Result<Merge, String> {
        self.words("MERGE INTO")?;
        let into = self.table()?;
        self.words("AS t USING")?;
        self.sign('(')?;
        let from = self.query()?;
        self.sign(')')?;
        self.words("AS s ON")?;
        let mut key = Vec::new();
        loop {
            let target = self.of("t")?;
            self.sign('=')?;
            if self.of("s")? != target {
                return Err("this simulator merges by equal names only".to_owned());
            }
            key.push(target);
            if !self.takes("AND") {
                break;
            }
        }
        self.words("WHEN")?;
        let mut updated = Vec::new();
        if self.takes("MATCHED") {
            self.words("THEN UPDATE SET")?;
            updated = self.list(|reader| {
                let name = reader.name()?;
                reader.sign('=')?;
                if reader.of("s")? != name {
                    return Err("this simulator sets columns of equal names only".to_owned());
                }
                Ok(name)
            })?;
            self.words("WHEN")?;
        }
        self.words("NOT MATCHED BY TARGET THEN INSERT")?;
        self.sign('(')?;
        let inserted = self.list(Self::name)?;
        self.sign(')')?;
        self.words("VALUES")?;
        self.sign('(')?;
        let values = self.list(|reader| reader.of("s"))?;
        self.sign(')')?;
        if values != inserted {
            return Err("this simulator inserts columns of equal names only".to_owned());
        }
        Ok(Merge {
            into,
            from,
            key,
            updated,
            inserted,
        })
    }

    /// A column of one side.
    fn of(&mut self, side: &str) -> Result<String, String> {
        self.words(side)?;
        self.sign('.')?;
        self.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_federated_select() {
        let text = "SELECT `c1` AS `id`, CAST(`c2` AS BIGNUMERIC) AS `x`, CAST(NULL AS DATE) AS `gone` \
            FROM EXTERNAL_QUERY(\"projects/p/locations/l/connections/c\", \"SELECT \\\"a\\\"\") \
            WHERE IF(`c0`, ERROR(\"empty\"), TRUE)";
        let Statement::Query(selects) = parse(text).unwrap() else {
            panic!("no query");
        };
        let [select] = selects.as_slice() else {
            panic!("{selects:?}");
        };
        let names: Vec<&str> = select.items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["id", "x", "gone"]);
        assert_eq!(select.fails_if, Some(("c0".to_owned(), "empty".to_owned())));
        assert!(
            matches!(&select.source, Source::External { query, .. } if query == "SELECT \"a\"")
        );
    }

    #[test]
    fn what_it_does_not_know_it_does_not_guess() {
        for text in [
            "DROP TABLE `p`.`d`.`t`",
            "SELECT * FROM `p`.`d`.`t`",
            "SELECT `a` FROM `p`.`d`.`t` LIMIT 1",
            "SELECT `a` FROM `p`.`d`.`t`; SELECT `a` FROM `p`.`d`.`t`",
            "SELECT SUM(`a`) FROM `p`.`d`.`t`",
            "SELECT `a` FROM `p`.`d`",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
