// Shows the commands that have the words of the filter box, of the decisions that are ticked.
const box = document.querySelector('#filter input[type=search]')
const ticks = [...document.querySelectorAll('#filter input[type=checkbox]')]
const count = document.querySelector('#filter output')
const commands = [...document.querySelectorAll('article')]
const texts = commands.map((command) => command.textContent.toLowerCase())

function filter() {
  const words = box.value.toLowerCase().split(/\s+/)
  const decisions = new Set(ticks.filter((tick) => tick.checked).map((tick) => tick.value))
  let shown = 0
  commands.forEach((command, index) => {
    const isShown = decisions.has(command.className) && words.every((word) => texts[index].includes(word))
    command.hidden = !isShown
    if (isShown) shown++
  })
  count.textContent = `${shown} of ${commands.length} commands`
}

for (const input of [box, ...ticks]) input.addEventListener('input', filter)
filter()
