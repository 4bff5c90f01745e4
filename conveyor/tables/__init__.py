"""Tables out of files that nobody vouches for: delimited text, xlsx and ods, read row by row and as often as one likes.

| question                                                   | module     |
|------------------------------------------------------------|------------|
| is there a file, and what kind of file is it?              | source, kinds |
| which letters do its bytes stand for?                      | encodings  |
| which separator, where is the header, which rows?          | delimited  |
| the same of a workbook                                     | xlsx, ods, damage |
| which column is called that?                               | titles     |
| what is in one cell?                                       | cells      |
| is 1.250 a thousand, or one and a quarter?                 | numbers    |
| is 3/2 in February or in March?                            | dates      |
| all of that, with a word on what was decided               | table      |

Whoever opens a table says how its header is recognised, and gets rows of cells. What was decided is in ``Table.said``.
What cannot be decided raises Uncertain, whose message names the option that decides it; nothing is guessed.
"""
